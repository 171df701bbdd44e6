// Builders: functions that make the blocks of each structure and whole networks of these blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/blocks/conv_bias_relu.hpp"
#include "repopt/nn/blocks/conv_bn_relu.hpp"
#include "repopt/nn/blocks/csla_bn_relu.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/blocks/qa_rep_vgg_block.hpp"
#include "repopt/nn/blocks/rep_vgg_block.hpp"
#include "repopt/nn/layers/csla_conv2d.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"

namespace repopt::nn {

/// Makes the target structure's block: one convolution, batch norm and ReLU.
template <class T>
std::unique_ptr<ConvBnRelu<T>> plain_block(const BlockSpec& spec) {
  auto block = std::make_unique<ConvBnRelu<T>>(spec.shape, spec.requires_input_grad());
  block->conv.algorithm = spec.algorithm;
  return block;
}

/// Makes RepVGG's block: the branches of prior_branches(), each with a batch norm in place of its scale.
template <class T>
std::unique_ptr<RepVggBlock<T>> rep_vgg_block(const BlockSpec& spec) {
  auto block =
      std::make_unique<RepVggBlock<T>>(spec.shape, spec.shape_1x1(), spec.has_identity(), spec.requires_input_grad());
  block->conv_3x3.algorithm = block->conv_1x1.algorithm = spec.algorithm;
  return block;
}

/// Makes QARepVGG's block: the branches of prior_branches(), with a batch norm on the 3x3 alone and one after the sum.
template <class T>
std::unique_ptr<QaRepVggBlock<T>> qa_rep_vgg_block(const BlockSpec& spec) {
  auto block =
      std::make_unique<QaRepVggBlock<T>>(spec.shape, spec.shape_1x1(), spec.has_identity(), spec.requires_input_grad());
  block->conv_3x3.algorithm = block->conv_1x1.algorithm = spec.algorithm;
  return block;
}

/// Makes a deployed block: one convolution with a bias, and ReLU. Kernel and bias are zero and can be filled from a
/// file.
template <class T>
std::unique_ptr<ConvBiasRelu<T>> deployed_block(const BlockSpec& spec) {
  auto block = std::make_unique<ConvBiasRelu<T>>(spec.shape, spec.requires_input_grad());
  block->conv.algorithm = spec.algorithm;
  return block;
}

namespace detail {

template <class T>
std::unique_ptr<CslaBnRelu<T>> csla_block(const BlockSpec& spec, const Scales<T>& scales, bool trained) {
  CslaConv2d<T> conv(spec.shape);
  for (const PriorBranch& branch : prior_branches(spec)) {
    const std::vector<T>& scale = scale_of(scales, spec, branch.scale_name);
    if (branch.is_identity())
      conv.add_identity(branch.scale_name, scale);
    else
      conv.add_branch(branch.conv_name, branch.scale_name, branch.shape, scale, trained);
  }
  conv.set_requires_input_grad(spec.requires_input_grad());
  for (auto& branch : conv.branches())
    if (branch.conv) branch.conv->algorithm = spec.algorithm;
  return std::make_unique<CslaBnRelu<T>>(std::move(conv), spec.shape.out_channels);
}

}  // namespace detail

/// Makes the CSLA block of prior_branches(). `scales` holds the scales of the whole network: the block's constants and
/// its identity's initial weight. Throws std::invalid_argument if a scale is missing or its length is wrong.
template <class T>
std::unique_ptr<CslaBnRelu<T>> csla_block(const BlockSpec& spec, const Scales<T>& scales) {
  return detail::csla_block(spec, scales, false);
}

/// Makes the block of Hyper-Search: a CSLA block whose scales are trained and start at `scales`. Throws in the same
/// cases as csla_block().
template <class T>
std::unique_ptr<CslaBnRelu<T>> hyper_search_block(const BlockSpec& spec, const Scales<T>& scales) {
  return detail::csla_block(spec, scales, true);
}

/// Builds a network of the blocks that `make_block` makes. init_weights() draws its weights from `seed`.
template <class T>
Vgg<T> build_vgg(const VggConfig& config, const BlockBuilder<T>& make_block, std::uint64_t seed) {
  Vgg<T> model(config, make_block);
  init_weights(model, seed);
  return model;
}

/// Builds the target structure: plain convolutions with batch norm and ReLU.
template <class T>
Vgg<T> plain_vgg(const VggConfig& config, std::uint64_t seed) {
  return build_vgg<T>(config, plain_block<T>, seed);
}

/// Builds the network of CSLA blocks with constant scales. Throws in the same cases as csla_block().
template <class T>
Vgg<T> csla_vgg(const VggConfig& config, std::uint64_t seed, const Scales<T>& scales) {
  return build_vgg<T>(
      config, [&](const BlockSpec& spec) { return csla_block(spec, scales); }, seed);
}

/// Builds Hyper-Search's network: CSLA blocks whose scales are trained and start at `scales`. Throws in the same cases
/// as csla_block().
template <class T>
Vgg<T> hyper_search_vgg(const VggConfig& config, std::uint64_t seed, const Scales<T>& scales) {
  return build_vgg<T>(
      config, [&](const BlockSpec& spec) { return hyper_search_block(spec, scales); }, seed);
}

/// Builds RepVGG's network.
template <class T>
Vgg<T> rep_vgg(const VggConfig& config, std::uint64_t seed) {
  return build_vgg<T>(config, rep_vgg_block<T>, seed);
}

/// Builds QARepVGG's network. With the seed of rep_vgg() its kernels start with the same numbers.
template <class T>
Vgg<T> qa_rep_vgg(const VggConfig& config, std::uint64_t seed) {
  return build_vgg<T>(config, qa_rep_vgg_block<T>, seed);
}

/// Returns `model` with each block replaced by make_block(spec, fused). `fused` is the convolution that the block
/// computes in evaluation. The linear layer is copied. Throws std::invalid_argument if a scale of a block is not
/// finite.
template <class T>
Vgg<T> with_fused_blocks(const Vgg<T>& model, auto make_block) {
  Vgg<T> fused(model.config(),
               [&](const BlockSpec& spec) { return make_block(spec, model.blocks()[spec.index]->fused()); });
  fused.linear.weight.value = model.linear.weight.value;
  fused.linear.bias.value = model.linear.bias.value;
  return fused;
}

/// Returns the deployed network: convolutions with a bias, and ReLU. Its outputs equal those of `model` in evaluation,
/// whatever blocks `model` has. Throws std::invalid_argument if a scale of a block is not finite.
template <class T>
Vgg<T> deployed(const Vgg<T>& model) {
  return with_fused_blocks(model, [](const BlockSpec& spec, const FusedConv<T>& fused) {
    auto block = std::make_unique<ConvBiasRelu<T>>(fused, spec.requires_input_grad());
    block->conv.algorithm = spec.algorithm;
    return block;
  });
}

/// The names of the structures above, for programs and files that must say which structure a network has: plain
/// convolutions (target), CSLA blocks with constant scales (csla) or trained scales (hyper_search), RepVGG's blocks
/// (repvgg), QARepVGG's blocks (qarepvgg), or the result of deployed() (deploy).
enum class Mode { target, csla, hyper_search, repvgg, qarepvgg, deploy };

/// The mode's name, e.g. "hyper_search".
constexpr std::string_view to_string(Mode mode) {
  constexpr std::string_view names[] = {"target", "csla", "hyper_search", "repvgg", "qarepvgg", "deploy"};
  return names[std::size_t(mode)];
}

/// Whether networks of that mode need scales.
constexpr bool has_scales(Mode mode) { return mode == Mode::csla || mode == Mode::hyper_search; }

/// Returns the builder of a mode's blocks. `scales` are the argument of csla_block(); other modes take none. Throws
/// std::invalid_argument if such a mode gets scales. The builder throws in the same cases as csla_block().
template <class T>
BlockBuilder<T> block_builder(Mode mode, const Scales<T>& scales = {}) {
  require(scales.empty() || has_scales(mode), "mode ", to_string(mode), " takes no scales");
  switch (mode) {
    case Mode::target: return plain_block<T>;
    case Mode::repvgg: return rep_vgg_block<T>;
    case Mode::qarepvgg: return qa_rep_vgg_block<T>;
    case Mode::deploy: return deployed_block<T>;
    case Mode::csla: return [=](const BlockSpec& spec) { return csla_block(spec, scales); };
    case Mode::hyper_search: break;
  }
  return [=](const BlockSpec& spec) { return hyper_search_block(spec, scales); };
}

/// Builds a network of that mode. Its weights are drawn from `seed`. Throws in the same cases as block_builder() and
/// its builder.
template <class T>
Vgg<T> build_vgg(const VggConfig& config, Mode mode, std::uint64_t seed, const Scales<T>& scales = {}) {
  return build_vgg<T>(config, block_builder<T>(mode, scales), seed);
}

}  // namespace repopt::nn
