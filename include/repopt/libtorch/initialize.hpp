// Rule of Initialization for a LibTorch module: kernels start as their CSLA blocks' equivalent kernels.
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

/// The weights of each block's branches, by the name of the kernel, in the order of CslaBlock::branches(). Each is
/// (out_channels, in_channels / groups, kh, kw); axes of 1 may be missing, so that (channels) does for an identity.
using BranchWeights = std::map<std::string, std::vector<Tensor>>;

/// Weights that branches start with: what torch::nn::Conv2d and Linear draw, uniform in +-1 / sqrt(fan_in), from
/// torch's generator; 1 for Branch::identity(). On the device and in the precision of `options`.
inline std::vector<Tensor> draw_branch_weights(const CslaBlock<double>& block, const torch::TensorOptions& options) {
  std::vector<Tensor> weights;
  for (const Branch<double>& branch : block.branches()) {
    const ConvShape& shape = branch.shape;
    const double bound = 1 / std::sqrt(double(shape.in_per_group() * shape.taps()));
    const Tensor weight = torch::empty(branch_axes(shape, block.target()), options);
    weights.push_back(branch.is_identity ? weight.fill_(1) : weight.uniform_(-bound, bound));
  }
  return weights;
}

/// Rule of Initialization: sets each kernel that has a block to sum_i embed_i(s_i * W_i), in place, on its device.
/// Other parameters are left alone. To start from pretrained weights, do not call it. Throws std::invalid_argument, and
/// changes nothing, if a block names no parameter or is for another shape, a block has no branch weights or branch
/// weights have no block, or a number of weights is wrong.
inline void initialize(torch::nn::Module& module, const CslaBlocks& blocks, const BranchWeights& branch_weights) {
  const torch::NoGradGuard no_grad;
  auto params = module.named_parameters();
  for (const auto& [name, weights] : branch_weights)
    require(blocks.contains(name), "there are branch weights for '", name, "', but no block");
  for (const auto& [name, block] : blocks) {
    const Tensor* const kernel = params.find(name);
    require(kernel, "there is a block for '", name, "', but no such parameter");
    require_kernel(name, *kernel, block.target());
    const auto found = branch_weights.find(name);
    const std::size_t count = found == branch_weights.end() ? 0 : found->second.size();
    require(count == block.branches().size(), "the block of '", name, "' has ", block.branches().size(), " branches, ",
            count, " weights were given");
    for (std::size_t i = 0; i < count; ++i)
      require(std::size_t(found->second[i].numel()) == block.branches()[i].shape.size(), "weight ", i, " of '", name,
              "' has ", found->second[i].numel(), " elements, branch [", describe(block.branches()[i].shape), "] has ",
              block.branches()[i].shape.size());
  }
  for (const auto& [name, block] : blocks) {
    const Tensor& kernel = params[name];
    Tensor sum = torch::zeros_like(kernel);
    auto weight = branch_weights.at(name).begin();
    TensorBlock(block, kernel.options()).for_each_branch([&](const Tensor& s, auto at) {
      Tensor branch = at(sum);
      branch.add_(s * weight++->to(kernel.options()).reshape(branch.sizes()));
    });
    kernel.copy_(sum);
  }
}

/// The same with weights that draw_branch_weights() draws, in the order of the module's parameters.
inline void initialize(torch::nn::Module& module, const CslaBlocks& blocks) {
  BranchWeights branch_weights;
  for (const auto& param : module.named_parameters())
    if (const auto block = blocks.find(param.key()); block != blocks.end())
      branch_weights[param.key()] = draw_branch_weights(block->second, param.value().options());
  initialize(module, blocks, branch_weights);
}

}  // namespace repopt::libtorch
