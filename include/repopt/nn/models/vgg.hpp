// Vgg: the network in its modes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/conv_bias_relu.hpp"
#include "repopt/nn/blocks/conv_bn_relu.hpp"
#include "repopt/nn/blocks/csla_bn_relu.hpp"
#include "repopt/nn/blocks/rep_vgg_block.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/csla_conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/init.hpp"
#include "repopt/nn/layers/linear.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/layers/pooling.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// What the network's blocks are: plain convolutions (target), CSLA blocks with constant scales (csla) or trained ones
/// (hyper_search), RepVGG's blocks (repvgg), or convolutions with a bias, batch norm folded (deploy): see deployed().
enum class Mode { target, csla, hyper_search, repvgg, deploy };

/// The mode's name, e.g. "hyper_search".
constexpr std::string_view to_string(Mode mode) {
  constexpr std::string_view names[] = {"target", "csla", "hyper_search", "repvgg", "deploy"};
  return names[std::size_t(mode)];
}

/// Blocks, global average pooling, a linear layer. Parameter names are those of the published models.
template <class T>
class Vgg {
 public:
  Linear<T> linear;  ///< from the pooled features to the logits

  /// Kernels and the linear layer start as PyTorch's, from `seed`. `scales` are the constants of mode csla or the
  /// initial ones of hyper_search, and the identities' initial weights; the other modes take none. Throws
  /// std::invalid_argument if a scale is missing or its length is wrong.
  Vgg(VggConfig config, Mode mode, std::uint64_t seed, const Scales<T>& scales = {})
      : linear(config.widths.back(), config.classes), config_(std::move(config)), mode_(mode) {
    require(scales.empty() || mode == Mode::csla || mode == Mode::hyper_search, "mode ", to_string(mode),
            " takes no scales");
    for (const BlockSpec& spec : config_.block_specs()) {
      blocks_.push_back(make_block(spec, scales));
      blocks_.back()->visit_batch_norms([&](BatchNorm2d<T>& bn) {
        bn.eps = config_.bn_eps;
        bn.momentum = config_.bn_momentum;
      });
    }
    visit_parameters([&](const std::string& name, Parameter<T>& parameter) {
      if (parameter.conv) init_uniform(parameter, parameter.conv->taps() * parameter.dims[1], seed, name);
    });
    init_uniform(linear.weight, config_.widths.back(), seed, "linear.weight");
    init_uniform(linear.bias, config_.widths.back(), seed, "linear.bias");
  }

  /// As given to the constructor.
  /// @{
  const VggConfig& config() const { return config_; }
  Mode mode() const { return mode_; }
  /// @}

  /// The blocks, in the order of config().block_specs().
  const std::vector<std::unique_ptr<Block<T>>>& blocks() const { return blocks_; }

  /// Puts `block` in the place of blocks()[index]. It must take and give images of the same channels and stride.
  void replace_block(std::size_t index, std::unique_ptr<Block<T>> block) { blocks_.at(index) = std::move(block); }

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
  std::unique_ptr<Block<T>> make_block(const BlockSpec& spec, const Scales<T>& scales) const {
    const bool first = !spec.requires_input_grad();
    switch (mode_) {
      case Mode::target: {
        auto block = std::make_unique<ConvBnRelu<T>>(spec.shape, !first);
        configure(block->conv);
        return block;
      }
      case Mode::repvgg: {
        auto block = std::make_unique<RepVggBlock<T>>(spec.shape, spec.shape_1x1(), spec.has_identity(), !first);
        configure(block->conv_3x3);
        configure(block->conv_1x1);
        return block;
      }
      case Mode::deploy: {
        auto block = std::make_unique<ConvBiasRelu<T>>(spec.shape, !first);
        configure(block->conv);
        return block;
      }
      case Mode::csla:
      case Mode::hyper_search: break;
    }
    CslaConv2d<T> conv(spec.shape);
    const bool trained = mode_ == Mode::hyper_search;
    for (const PriorBranch& branch : prior_branches(spec)) {
      const std::vector<T>& scale = scale_of(scales, spec, branch.scale_name);
      if (branch.is_identity())
        conv.add_identity(std::string(branch.scale_name), scale);
      else
        conv.add_branch(std::string(branch.conv_name), std::string(branch.scale_name), branch.shape, scale, trained);
    }
    conv.set_requires_input_grad(!first);
    for (auto& branch : conv.branches())
      if (branch.conv) configure(*branch.conv);
    return std::make_unique<CslaBnRelu<T>>(std::move(conv), spec.shape.out_channels);
  }

  void configure(Conv2d<T>& conv) const { conv.algorithm = config_.algorithm; }

  VggConfig config_;
  Mode mode_;
  std::vector<std::unique_ptr<Block<T>>> blocks_;
  GlobalAveragePooling<T> pooling_;
  std::size_t largest_output_ = 0;  ///< of a block, in values
  Tensor<T> grad_;                  ///< dL/dy, then dL/dx of the block that backward() is at
  GradScratch<T> grad_scratch_;
};

/// The network as it is deployed: in mode deploy, with the outputs that `model`, of any mode, has in evaluation. Throws
/// std::invalid_argument if a scale of a block is not finite.
template <class T>
Vgg<T> deployed(const Vgg<T>& model) {
  Vgg<T> plain(model.config(), Mode::deploy, 0);
  for (std::size_t i = 0; i < model.blocks().size(); ++i) {
    FusedConv<T> fused = model.blocks()[i]->fused();
    auto& block = dynamic_cast<ConvBiasRelu<T>&>(*plain.blocks()[i]);
    block.conv.weight.value = std::move(fused.weight);
    block.bias.value = std::move(fused.bias);
  }
  plain.linear.weight.value = model.linear.weight.value;
  plain.linear.bias.value = model.linear.bias.value;
  return plain;
}

}  // namespace repopt::nn
