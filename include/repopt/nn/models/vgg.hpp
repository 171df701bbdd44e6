// Vgg: a network of blocks, whatever they are.
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

/// make_block(spec): a block for that place of a network. It takes images of spec.shape.in_channels channels and gives
/// spec.shape.out_channels, with the stride of spec.shape.
template <class T>
using BlockBuilder = std::function<std::unique_ptr<Block<T>>(const BlockSpec& spec)>;

/// Blocks, global average pooling, a linear layer. The blocks may be of any kind: builders.hpp has those of the
/// articles.
template <class T>
class Vgg {
 public:
  Linear<T> linear;  ///< from the pooled features to the logits, zero at first

  /// Calls `make_block` for each of config.block_specs(). The blocks' batch norms get the config's eps and momentum;
  /// parameters are as the builder gives them, see init_weights(). Throws std::invalid_argument if a dimension is zero
  /// or a place gets no block.
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

  /// As given to the constructor.
  const VggConfig& config() const { return config_; }

  /// The blocks, in the order of config().block_specs().
  const std::vector<std::unique_ptr<Block<T>>>& blocks() const { return blocks_; }

  /// Logits, (batch, 1, 1, classes), of images (batch, height, width, in_channels), which must live until backward().
  /// Throws std::invalid_argument if the images do not fit.
  const Tensor<T>& forward(const Tensor<T>& images, Phase phase) {
    LazyTensor<T> x = images;
    for (const auto& block : blocks_) {
      x = block->forward(x, phase);
      if (phase == Phase::train) largest_output_ = std::max(largest_output_, x.values->size());
    }
    return linear.forward(pooling_.forward(x));
  }

  /// Adds to the gradients of all parameters, after a forward pass in training.
  void backward(const Tensor<T>& grad_logits) {
    grad_.reserve(largest_output_);  // at once: memory that grows leaves holes
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

  /// Number of trained numbers.
  std::size_t parameter_count() {
    std::size_t count = 0;
    visit_parameters([&](const std::string&, Parameter<T>& p) { count += p.requires_grad ? p.value.size() : 0; });
    return count;
  }

 private:
  VggConfig config_;
  std::vector<std::unique_ptr<Block<T>>> blocks_;
  GlobalAveragePooling<T> pooling_;
  std::size_t largest_output_ = 0;  ///< of a block, in values
  Tensor<T> grad_;                  ///< dL/dy, then dL/dx of the block that backward() is at
  GradScratch<T> grad_scratch_;
};

/// Draws all kernels and the linear layer as PyTorch's layers start. The numbers depend on `seed` and a parameter's
/// name alone, so that networks of different blocks start alike where they have the same layers. What else the blocks
/// hold (scales, batch norms, biases) stays as it is.
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
