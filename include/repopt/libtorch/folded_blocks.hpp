// FoldedBlocks: the branches that are folded into a module's kernels.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/folded_branch.hpp"
#include "repopt/libtorch/dense_tensor.hpp"
#include "repopt/libtorch/layer_walk.hpp"
#include "repopt/libtorch/rep_vgg_blocks.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// Branches of any kind that fold into one kernel. Layouts have no meaning here, except that
/// FoldedBranch::initial_weights are in the layouts of the branch's operators.
struct FoldedBlock {
  ConvShape target;                            ///< the kernel's shape
  std::vector<FoldedBranch<double>> branches;  ///< at least one
};

/// The branches of a module's kernels. The key is the parameter's name in Module::named_parameters().
using FoldedBlocks = std::map<std::string, FoldedBlock>;

/// Returns the branches of CSLA blocks. If `train_scales`, all scales are trained but those of identities, whose
/// weights are already one trained number for each channel.
inline FoldedBlocks folded_blocks(const CslaBlocks& blocks, bool train_scales) {
  FoldedBlocks folded;
  for (const auto& [kernel, block] : blocks) {
    FoldedBlock& to = folded.emplace(kernel, FoldedBlock{block.target(), {}}).first->second;
    for (const Branch<double>& branch : block.branches()) {
      to.branches.push_back(FoldedBranch<double>::conv(branch));
      to.branches.back().trains_scale = train_scales && !branch.is_identity;
    }
  }
  return folded;
}

/// The same for blocks of rep_vgg_blocks(). The scales keep their names, and the name "scale_identity" stands for an
/// identity's weight. Identities start at RepVggBlocks::identity_weights.
inline FoldedBlocks folded_blocks(const RepVggBlocks& blocks, bool train_scales) {
  FoldedBlocks folded = folded_blocks(blocks.blocks, train_scales);
  for (auto& [kernel, block] : folded)
    for (std::size_t i = 0; i < block.branches.size(); ++i) {
      FoldedBranch<double>& branch = block.branches[i];
      const std::string& name = blocks.scale_names.at(kernel)[i];
      if (!branch.convolution.is_identity) {
        branch.scale_name = name;
        continue;
      }
      branch.weight_names = {name};
      const auto weights = blocks.identity_weights.find(kernel);
      if (weights != blocks.identity_weights.end()) branch.initial_weights = {weights->second};
    }
  return folded;
}

namespace detail {

/// All elements of a tensor, in the order of its axes.
inline std::vector<double> to_numbers(const Tensor& tensor) {
  const Tensor flat = tensor.detach().to(torch::kCPU, torch::kDouble).contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// Returns the branch in the precision T, with weights in OIHW. `number` is its number among the branches of `layer`,
/// for default names.
template <class T>
FoldedBranch<T> branch_in(const FoldedBranch<double>& given, const std::string& layer, std::size_t number) {
  const bool is_sequence = given.operators.size() > 1;
  const ConvShape& shape = given.convolution.shape;
  Branch<T> convolution(is_sequence ? shape : shape.in_layout(WeightLayout::oihw), given.convolution.scale);
  convolution.is_identity = given.convolution.is_identity;
  FoldedBranch<T> branch{std::move(convolution), {}, {given.filter.begin(), given.filter.end()}, given.trains_scale};
  branch.scale_name = given.scale_name.empty() ? name_below(layer, concat(number, ".scale")) : given.scale_name;
  branch.weight_names = given.weight_names;
  for (std::size_t k = 0; k < given.operators.size(); ++k) {
    const ConvShape oihw = branch.operators.emplace_back(given.operators[k].in_layout(WeightLayout::oihw));
    if (given.weight_names.empty())
      branch.weight_names.push_back(
          name_below(layer, is_sequence ? concat(number, ".", k, ".weight") : concat(number, ".weight")));
    const std::vector<double>& weight = given.initial_weights[k];
    std::vector<double> relaid(weight.size());
    copy_weight(given.operators[k], std::span(weight), oihw, std::span(relaid));
    branch.initial_weights.emplace_back(relaid.begin(), relaid.end());
  }
  return branch;
}

}  // namespace detail

}  // namespace repopt::libtorch
