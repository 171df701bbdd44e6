// TensorBlock: a CSLA block on tensors. Where a branch lies in a kernel is a view, so that a rule is tensor operations
// and runs on whatever device the kernel is on.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"

namespace repopt::libtorch {

using torch::Tensor;

/// The CSLA blocks of a module's kernels, by parameter name as in Module::named_parameters(). Kernels and branches'
/// weights are tensors (out_channels, in_channels / groups, kh, kw) with strides of their own, contiguous,
/// channels_last or any others: the layouts in the blocks' shapes do not matter here. A last axis of 1 may be missing:
/// the weight (out_features, in_features) of a Linear is the kernel of ConvShape::linear().
using CslaBlocks = std::map<std::string, CslaBlock<double>>;

/// A weight's sizes in words, for messages: "(16, 8, 3, 3)".
inline std::string describe_sizes(torch::IntArrayRef sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += concat(text.empty() ? "" : ", ", size);
  return "(" + text + ")";
}

/// Throws std::invalid_argument, naming the parameter and both sizes, unless `weight` is a kernel of `target`.
inline void require_kernel(const std::string& name, const Tensor& weight, const ConvShape& target) {
  const std::array sizes{target.out_channels, target.in_per_group(), target.kernel_size[0], target.kernel_size[1]};
  bool fits = weight.dim() <= 4 && weight.is_floating_point();
  for (std::size_t axis = 0; fits && axis < sizes.size(); ++axis)
    fits = sizes[axis] == (axis < std::size_t(weight.dim()) ? std::size_t(weight.sizes()[axis]) : 1);
  if (!fits)
    require(false, "'", name, "' has sizes ", describe_sizes(weight.sizes()), ", the block's target is [",
            describe(target), "]");
}

/// A branch's axes, (target's groups, branch's groups in each, out_channels in each, in_channels, kh, kw), outermost
/// first: along each of them the place in the target kernel moves by a constant.
inline std::array<std::int64_t, 6> branch_axes(const ConvShape& branch, const ConvShape& target) {
  const std::array axes{target.groups,         branch.groups / target.groups, branch.out_per_group(),
                        branch.in_per_group(), branch.kernel_size[0],         branch.kernel_size[1]};
  std::array<std::int64_t, 6> sizes{};
  for (std::size_t axis = 0; axis < axes.size(); ++axis) sizes[axis] = std::int64_t(axes[axis]);
  return sizes;
}

/// embed() as a view: the elements of `kernel` that the weights of `branch` are added to, in the order of the weights,
/// with the sizes of branch_axes(). The strides are read off core's Placement. Shares the memory of `kernel`.
inline Tensor view_of_branch(const Tensor& kernel, const ConvShape& branch, const ConvShape& target) {
  const Placement placed(branch, target);
  const auto offset = [&](const WeightIndex& weight) {
    const WeightIndex place = placed(weight);
    const std::array indices{place.out, place.in, place.row, place.column};
    std::int64_t sum = kernel.storage_offset();
    for (std::int64_t axis = 0; axis < kernel.dim(); ++axis)
      sum += std::int64_t(indices[std::size_t(axis)]) * kernel.stride(axis);
    return sum;
  };
  const std::size_t out = branch.out_per_group();
  const std::array<WeightIndex, 6> neighbours{
      {{.out = branch.groups / target.groups * out}, {.out = out}, {.out = 1}, {.in = 1}, {.row = 1}, {.column = 1}}};
  const std::int64_t origin = offset({});
  std::array<std::int64_t, 6> strides{};
  for (std::size_t axis = 0; axis < strides.size(); ++axis) strides[axis] = offset(neighbours[axis]) - origin;
  return kernel.as_strided(branch_axes(branch, target), strides, origin);
}

/// The block that a parameter stands for, with its scales on the parameter's device and in its precision. An ordinary
/// parameter, of any shape, stands for itself: one branch, s = 1.
class TensorBlock {
 public:
  /// An ordinary parameter.
  explicit TensorBlock(const torch::TensorOptions& options) : scales_{torch::ones({}, options)} {}

  /// A kernel that stands for `block`, whose scales become tensors with these options.
  TensorBlock(CslaBlock<double> block, const torch::TensorOptions& options) : block_(std::move(block)) {
    for (const Branch<double>& branch : block_->branches()) {
      std::array<std::int64_t, 6> sizes = branch_axes(branch.shape, block_->target());
      sizes[3] = sizes[4] = sizes[5] = 1;
      scales_.push_back(torch::tensor(branch.scale, torch::kDouble).view(sizes).to(options));
    }
  }

  /// Empty for an ordinary parameter.
  const std::optional<CslaBlock<double>>& block() const { return block_; }

  /// Calls visit(s, at) for each branch: at(tensor) views the branch's places in a tensor of the kernel's sizes, and
  /// the scale s broadcasts over that view.
  void for_each_branch(auto visit) const {
    for (std::size_t i = 0; i < scales_.size(); ++i)
      visit(scales_[i], [&](const Tensor& tensor) {
        return block_ ? view_of_branch(tensor, block_->branches()[i].shape, block_->target()) : tensor;
      });
  }

 private:
  std::optional<CslaBlock<double>> block_;
  std::vector<Tensor> scales_;  ///< O(branches x out_channels) numbers
};

}  // namespace repopt::libtorch
