// Vgg: a network of blocks of any kind.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/init.hpp"
#include "repopt/nn/layers/linear.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/layers/pooling.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// A function make_block(spec) that makes the block for one place of a network. The block takes images of
/// spec.shape.in_channels channels and returns images of spec.shape.out_channels channels, with the stride of
/// spec.shape.
template <class T>
using BlockBuilder = std::function<std::unique_ptr<Block<T>>(const BlockSpec& spec)>;

/// A network of blocks, global average pooling and a linear layer. builders.hpp makes the blocks of the articles; you
/// can also write your own.
template <class T>
class Vgg {
 public:
  Linear<T> linear;  ///< from the pooled features to the logits; zero initially

  /// Calls `make_block` for each of config.block_specs(). The blocks' batch norms get the config's eps and momentum.
  /// Parameters keep the values from the builder: see init_weights(). Throws std::invalid_argument if a dimension is
  /// zero or the builder returns no block for a place.
  Vgg(VggConfig config, const BlockBuilder<T>& make_block)
      : linear(config.widths.back(), config.classes), config_(std::move(config)) {
    for (const BlockSpec& spec : config_.block_specs()) {
      blocks_.push_back(make_block(spec));
      require(blocks_.back() != nullptr, "the builder made no block for '", spec.name, "'");
      blocks_.back()->visit_batch_norms([&](BatchNorm2d<T>& bn) {
        bn.eps = config_.bn_eps;
        bn.momentum = config_.bn_momentum;
      });
    }
  }

  /// The config that was given to the constructor.
  const VggConfig& config() const { return config_; }

  /// The blocks, in the order of config().block_specs().
  const std::vector<std::unique_ptr<Block<T>>>& blocks() const { return blocks_; }

  /// Returns the logits, (batch, 1, 1, classes), of images (batch, height, width, in_channels). The images must exist
  /// until backward(). Throws std::invalid_argument if their shape does not fit.
  const Tensor<T>& forward(const Tensor<T>& images, Phase phase) {
    LazyTensor<T> x = images;
    for (const auto& block : blocks_) {
      x = block->forward(x, phase);
      if (phase == Phase::train) largest_output_ = std::max(largest_output_, x.values->size());
    }
    return linear.forward(pooling_.forward(x));
  }

  /// Adds to the gradients of all parameters. Throws std::invalid_argument if `grad_logits` has another shape than the
  /// logits, or if no forward pass in training came before.
  void backward(const Tensor<T>& grad_logits) {
    grad_.reserve(largest_output_);  // reserved at once, because memory that grows step by step leaves holes
    pooling_.backward(linear.backward(grad_logits), grad_);
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
      (*block)->backward(grad_, grad_scratch_);
    }
  }

  /// Sets the gradients of all parameters to zero.
  void zero_grad() {
    visit_parameters([](const std::string&, Parameter<T>& p) { std::fill(p.grad.begin(), p.grad.end(), T(0)); });
  }

  /// Visits parameters, constant scales and running statistics by name, from input to output.
  void visit_parameters(const ParameterVisitor<T>& visit) {
    const std::vector<BlockSpec> specs = config_.block_specs();
    for (std::size_t i = 0; i < specs.size(); ++i) blocks_[i]->visit_parameters(specs[i].name, visit);
    linear.visit_parameters("linear", visit);
  }

  /// Returns the number of trained numbers.
  std::size_t parameter_count() {
    std::size_t count = 0;
    visit_parameters([&](const std::string&, Parameter<T>& p) { count += p.requires_grad ? p.value.size() : 0; });
    return count;
  }

 private:
  VggConfig config_;
  std::vector<std::unique_ptr<Block<T>>> blocks_;
  GlobalAveragePooling<T> pooling_;
  std::size_t largest_output_ = 0;  ///< number of elements of the largest output of a block
  Tensor<T> grad_;                  ///< dL/dy and then dL/dx of the current block of backward()
  GradScratch<T> grad_scratch_;
};

/// Draws the initial numbers of all kernels and the linear layer, like PyTorch's layers. The numbers depend only on
/// `seed` and a parameter's name, so networks of different blocks start with the same numbers in the layers that they
/// share. Scales, batch norms and biases of blocks are not changed.
template <class T>
void init_weights(Vgg<T>& model, std::uint64_t seed) {
  model.visit_parameters([&](const std::string& name, Parameter<T>& parameter) {
    if (parameter.conv) init_uniform(parameter, parameter.conv->taps() * parameter.dims[1], seed, name);
  });
  const std::size_t features = model.linear.weight.dims[1];
  init_uniform(model.linear.weight, features, seed, "linear.weight");
  init_uniform(model.linear.bias, features, seed, "linear.bias");
}

}  // namespace repopt::nn
