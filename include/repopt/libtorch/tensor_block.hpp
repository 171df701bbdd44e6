// TensorBlock: a CSLA block for tensors. It shows each branch's part of a kernel as a view of that kernel, so that a
// rule can be written in tensor operations that run on any device. For dense kernels on the CPU it has the streams of
// repopt/optim.
#pragma once

#include <torch/types.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "repopt/libtorch/dense_tensor.hpp"
#include "repopt/optim/kernel_stream.hpp"

namespace repopt::libtorch {

using torch::Tensor;

/// The CSLA blocks of a module's kernels. The key is the parameter's name in Module::named_parameters(). Kernels and
/// the weights of branches are tensors (out_channels, in_channels / groups, kh, kw). Their strides may be any:
/// contiguous, channels_last or others. So the layout in a block's shapes has no meaning here. A last axis of size 1
/// may be missing: the weight (out_features, in_features) of a Linear is a kernel of ConvShape::linear().
using CslaBlocks = std::map<std::string, CslaBlock<double>>;

/// A tensor's sizes as text for messages: "(16, 8, 3, 3)".
inline std::string describe_sizes(torch::IntArrayRef sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += concat(text.empty() ? "" : ", ", size);
  return "(" + text + ")";
}

/// The sizes of a kernel: (out_channels, in_channels / groups, kh, kw).
inline std::array<std::int64_t, 4> kernel_sizes(const ConvShape& shape) {
  return {std::int64_t(shape.out_channels), std::int64_t(shape.in_per_group()), std::int64_t(shape.kernel_size[0]),
          std::int64_t(shape.kernel_size[1])};
}

/// Throws std::invalid_argument, naming the parameter and both sizes, unless `weight` is a kernel of `target`.
inline void require_kernel(const std::string& name, const Tensor& weight, const ConvShape& target) {
  const std::array<std::int64_t, 4> sizes = kernel_sizes(target);
  bool fits = weight.dim() <= 4 && weight.is_floating_point();
  for (std::size_t axis = 0; fits && axis < sizes.size(); ++axis)
    fits = sizes[axis] == (axis < std::size_t(weight.dim()) ? weight.sizes()[axis] : 1);
  if (!fits)
    require(false, "'", name, "' has sizes ", describe_sizes(weight.sizes()), ", the block's target is [",
            describe(target), "]");
}

/// The sizes of a branch's weights along six axes: groups of the target, groups of the branch in each of these,
/// out_channels in each of those, in_channels / groups, kh, kw. One step along any axis moves the place in the target
/// kernel by a constant distance, so a strided view can have these axes.
inline std::array<std::int64_t, 6> branch_axes(const ConvShape& branch, const ConvShape& target) {
  const std::array axes{target.groups,         branch.groups / target.groups, branch.out_per_group(),
                        branch.in_per_group(), branch.kernel_size[0],         branch.kernel_size[1]};
  std::array<std::int64_t, 6> sizes{};
  for (std::size_t axis = 0; axis < axes.size(); ++axis) sizes[axis] = std::int64_t(axes[axis]);
  return sizes;
}

/// embed() as a view: the elements of `kernel` to which the weights of `branch` are added, in the order of these
/// weights. Its sizes are branch_axes(), and it shares the memory of `kernel`. The strides come from core's Placement.
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

/// Returns the block with scales rounded to T and with the target in `layout`. Throws std::invalid_argument if the
/// square of a scale is not finite in T.
template <class T, class Given>
CslaBlock<T> block_in(const CslaBlock<Given>& block, WeightLayout layout) {
  std::vector<Branch<T>> branches;
  for (const Branch<Given>& branch : block.branches())
    branches.emplace_back(branch.shape.in_layout(layout), branch.scale).is_identity = branch.is_identity;
  return {block.target().in_layout(layout), std::move(branches)};
}

namespace detail {

/// Throws std::invalid_argument unless all squares of `rounded`, a branch's scale in a kernel's precision on the CPU,
/// are finite in this precision. `given` is the scale before rounding.
inline void require_finite_squares(const std::string& branch, const std::vector<double>& given, const Tensor& rounded) {
  const torch::ScalarType precision = rounded.scalar_type();
  // Squares are computed in double, because LibTorch does not compute in every type on the CPU.
  const Tensor is_finite = rounded.to(torch::kDouble).square().to(precision).to(torch::kDouble).isfinite();
  if (is_finite.all().item<bool>()) return;
  for (std::size_t channel = 0; channel < given.size(); ++channel)
    require(is_finite[std::int64_t(channel)].item<bool>(), branch, " has the scale ", given[channel],
            ", its square is not finite in ", torch::toString(precision));
}

}  // namespace detail

/// The CSLA block that a parameter stands for, with scales on the parameter's device and in its precision. An ordinary
/// parameter has no block. It may have any shape, and it is treated as one branch with s = 1.
class TensorBlock {
 public:
  /// Makes the block of an ordinary parameter; `options` are those of its tensor.
  explicit TensorBlock(const torch::TensorOptions& options) : scales_{torch::ones({}, options)} {}

  /// Makes the block of the kernel `name`, which stands for `block`; `options` are those of its tensor. Throws
  /// std::invalid_argument, naming the kernel, the branch and the scale, if the square of a scale is not finite in the
  /// tensor's precision.
  TensorBlock(const std::string& name, CslaBlock<double> block, const torch::TensorOptions& options)
      : block_(std::move(block)) {
    for (std::size_t i = 0; i < block_->branches().size(); ++i) {
      const Branch<double>& branch = block_->branches()[i];
      const Tensor scale = torch::tensor(branch.scale, torch::kDouble).to(options.device(torch::kCPU));
      detail::require_finite_squares(concat("branch ", i, " of '", name, "'"), branch.scale, scale);
      std::array<std::int64_t, 6> sizes = branch_axes(branch.shape, block_->target());
      sizes[3] = sizes[4] = sizes[5] = 1;
      scales_.push_back(scale.view(sizes).to(options));
    }
  }

  /// The block; empty for an ordinary parameter.
  const std::optional<CslaBlock<double>>& block() const { return block_; }

  /// Calls visit(s, at) for each branch. at(tensor) returns the branch's part of a tensor that has the kernel's sizes,
  /// as a view. The scale s broadcasts over this view.
  void for_each_branch(auto visit) const {
    for (std::size_t i = 0; i < scales_.size(); ++i)
      visit(scales_[i], [&](const Tensor& tensor) {
        return block_ ? view_of_branch(tensor, block_->branches()[i].shape, block_->target()) : tensor;
      });
  }

  /// Calls visit(stream) with the stream of a kernel in memory: its KernelStream<T> in `layout`, or a PlainStream<T>
  /// for an ordinary parameter.
  template <class T>
  void visit_stream(WeightLayout layout, auto visit) {
    if (block_)
      visit(stream_in<T>(layout));
    else
      visit(PlainStream<T>());
  }

 private:
  /// Returns the stream, which is made at its first use and again if the parameter has got another layout or precision.
  template <class T>
  const KernelStream<T>& stream_in(WeightLayout layout) {
    if (const auto* made = std::get_if<KernelStream<T>>(&stream_); made && made->block().target().layout == layout)
      return *made;
    return stream_.emplace<KernelStream<T>>(block_in<T>(*block_, layout));
  }

  std::optional<CslaBlock<double>> block_;
  std::vector<Tensor> scales_;  ///< one for each branch; together O(branches x out_channels) numbers
  std::variant<std::monostate, KernelStream<float>, KernelStream<double>> stream_;
};

}  // namespace repopt::libtorch
