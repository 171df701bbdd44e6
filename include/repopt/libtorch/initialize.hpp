// The Rule of Initialization for a LibTorch module: each kernel starts as the equivalent kernel of its CSLA block.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// The weights of each block's branches, in the order of CslaBlock::branches(). The key is the kernel's name. Each
/// weight is (out_channels, in_channels / groups, kh, kw); axes of size 1 may be missing, so an identity's weight may
/// be (channels).
using BranchWeights = std::map<std::string, std::vector<Tensor>>;

/// Draws a weight of that shape as torch::nn::Conv2d and Linear do: uniform in +-1 / sqrt(fan_in), from LibTorch's
/// generator. `options` give device and precision. The result is (out_channels, in_channels / groups, kh, kw).
inline Tensor draw_weight(const ConvShape& shape, const torch::TensorOptions& options) {
  const double bound = 1 / std::sqrt(double(shape.in_per_group() * shape.taps()));
  return torch::empty(kernel_sizes(shape), options).uniform_(-bound, bound);
}

/// Draws initial weights for the branches by draw_weight(). The weights of Branch::identity() are 1.
inline std::vector<Tensor> draw_branch_weights(const CslaBlock<double>& block, const torch::TensorOptions& options) {
  std::vector<Tensor> weights;
  for (const Branch<double>& branch : block.branches())
    weights.push_back(branch.is_identity ? torch::ones(kernel_sizes(branch.shape), options)
                                         : draw_weight(branch.shape, options));
  return weights;
}

/// Draws the weights of all blocks whose kernels the module has, in the order of the module's parameters, on the
/// kernels' devices and in their precision.
inline BranchWeights draw_branch_weights(const torch::nn::Module& module, const CslaBlocks& blocks) {
  BranchWeights weights;
  for (const auto& param : module.named_parameters())
    if (const auto block = blocks.find(param.key()); block != blocks.end())
      weights[param.key()] = draw_branch_weights(block->second, param.value().options());
  return weights;
}

namespace detail {

/// Throws std::invalid_argument unless there is one weight of the right size for each branch.
inline void require_branch_weights(const std::string& name, const CslaBlock<double>& block,
                                   const std::vector<Tensor>& weights) {
  require(weights.size() == block.branches().size(), "the block of '", name, "' has ", block.branches().size(),
          " branches, ", weights.size(), " weights were given");
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const ConvShape& shape = block.branches()[i].shape;
    require(std::size_t(weights[i].numel()) == shape.size(), "weight ", i, " of '", name, "' has ", weights[i].numel(),
            " elements, branch [", describe(shape), "] has ", shape.size());
  }
}

}  // namespace detail

/// The Rule of Initialization: sets each kernel that has a block to sum_i embed_i(s_i * W_i), in place. Other
/// parameters keep their values. Do not call it if you start from pretrained weights. Throws std::invalid_argument, and
/// changes nothing, if a block names no parameter or does not fit its parameter, if a block has no branch weights or
/// branch weights have no block, if the number of weights or the size of one is wrong, or if the square of a scale is
/// not finite in the parameter's precision.
inline void initialize(torch::nn::Module& module, const CslaBlocks& blocks, const BranchWeights& branch_weights) {
  const torch::NoGradGuard no_grad;
  auto params = module.named_parameters();
  for (const auto& [name, weights] : branch_weights)
    require(blocks.contains(name), "there are branch weights for '", name, "', but no block");
  for (const auto& [name, block] : blocks) {
    const Tensor* const kernel = params.find(name);
    require(kernel, "there is a block for '", name, "', but no such parameter");
    require_kernel(name, *kernel, block.target());
    const auto weights = branch_weights.find(name);
    detail::require_branch_weights(name, block,
                                   weights == branch_weights.end() ? std::vector<Tensor>() : weights->second);
  }
  std::vector<Tensor> sums;  // computed before the first kernel changes, because a TensorBlock may refuse its scales
  for (const auto& [name, block] : blocks) {
    const torch::TensorOptions options = params[name].options();
    const Tensor& sum = sums.emplace_back(torch::zeros_like(params[name]));
    auto weight = branch_weights.at(name).begin();
    TensorBlock(name, block, options).for_each_branch([&](const Tensor& s, auto at) {
      Tensor branch = at(sum);
      branch.add_(s * weight++->to(options).reshape(branch.sizes()));
    });
  }
  auto sum = sums.begin();
  for (const auto& [name, block] : blocks) params[name].copy_(*sum++);
}

/// The same with weights from draw_branch_weights(). Throws in the same cases, and changes nothing.
inline void initialize(torch::nn::Module& module, const CslaBlocks& blocks) {
  initialize(module, blocks, draw_branch_weights(module, blocks));
}

}  // namespace repopt::libtorch
