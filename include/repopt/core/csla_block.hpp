// CslaBlock: the multi-branch block whose training the plain kernel imitates, and the Rule of Initialization.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/embedding.hpp"

namespace repopt {

/// A floating-point or integral number.
template <class S>
concept Number = std::floating_point<S> || std::integral<S>;

/// A range of floating-point numbers, such as a std::vector<double>, a std::span<const float> or a std::list.
template <class Range>
concept FloatingPointRange = requires(Range& range) {
  std::end(range);
}
&&std::floating_point<std::iter_value_t<decltype(std::begin(std::declval<Range&>()))>>;

/// One branch of a CSLA block: one trainable linear operator, followed by one constant scale for each output channel.
template <std::floating_point T>
struct Branch {
  ConvShape shape;           ///< the operator's shape: it is a convolution
  std::vector<T> scale;      ///< the constant scale s, (out_channels)
  bool is_identity = false;  ///< whether the branch was made by identity()

  /// A branch with a scale for each output channel. CslaBlock's constructor checks both arguments.
  Branch(const ConvShape& branch_shape, std::vector<T> channel_scale)
      : shape(branch_shape), scale(std::move(channel_scale)) {}

  /// The same, with scales from any range of floating-point numbers. They are rounded to T.
  template <FloatingPointRange Range>
  Branch(const ConvShape& branch_shape, Range&& channel_scale) : shape(branch_shape) {
    for (const auto s : channel_scale) scale.push_back(static_cast<T>(s));
  }

  /// A branch with one scale for all output channels.
  template <Number S>
  Branch(const ConvShape& branch_shape, S scalar_scale)
      : shape(branch_shape), scale(branch_shape.out_channels, static_cast<T>(scalar_scale)) {}

  /// The identity branch: one trainable factor for each channel. It is a depthwise 1x1 convolution with s = 1, whose
  /// (channels) weights start at 1.
  static Branch identity(std::size_t channels) {
    Branch branch(ConvShape::depthwise_1x1(channels), T(1));
    branch.is_identity = true;
    return branch;
  }

  /// Throws std::invalid_argument if the shape is impossible, does not embed in `target`, or if `scale` does not hold
  /// one number for each output channel that is finite and has a finite square. `target` must be valid. The message
  /// calls the branch `name`.
  void validate(const ConvShape& target, std::string_view name = "branch") const {
    shape.validate();
    const std::string_view obstacle = embedding_obstacle(shape, target);
    require(obstacle.empty(), name, " [", describe(shape), "] does not embed in target [", describe(target),
            "]: ", obstacle);
    require(scale.size() == target.out_channels, "scale has ", scale.size(), " elements, out_channels is ",
            target.out_channels, "; ", name, " [", describe(shape), "]");
    for (const T s : scale) {
      require(std::isfinite(s), "scale holds ", s, ", it must be finite; ", name, " [", describe(shape), "]");
      require(std::isfinite(s * s), "scale holds ", s, ", its square must be finite; ", name, " [", describe(shape),
              "]");
    }
  }

  bool operator==(const Branch&) const = default;
};

/// A CSLA block (Constant-Scale Linear Addition): y = sum_i s_i * conv(x, W_i) (arXiv 2205.15242, section 3). It
/// describes the branches whose training one target kernel shall follow. The block itself is never trained.
template <std::floating_point T>
class CslaBlock {
 public:
  /// Throws std::invalid_argument if there is no branch, a shape is impossible, a scale does not have out_channels
  /// elements, a scale or its square is not finite, a channel's sum of squares over the branches is not finite, or a
  /// branch does not embed in `target`. In the last case the message names both shapes and the reason.
  CslaBlock(const ConvShape& target, std::vector<Branch<T>> branches)
      : target_(target), branches_(std::move(branches)) {
    target_.validate();
    require(!branches_.empty(), "a CSLA block needs a branch; target: ", describe(target_));
    for (const Branch<T>& branch : branches_) branch.validate(target_);
    for (std::size_t out = 0; out < target_.out_channels; ++out) {
      T sum = 0;
      for (const Branch<T>& branch : branches_) sum += branch.scale[out] * branch.scale[out];
      require(std::isfinite(sum), "the squares of the scales of channel ", out, " add up to ", sum,
              ", which must be finite");
    }
  }

  /// The block of a kernel without a prior structure: one branch with s = 1, whose training is the plain kernel's.
  static CslaBlock plain(const ConvShape& target) { return {target, {Branch<T>(target, T(1))}}; }

  /// The target and the branches that were given to the constructor. A temporary block gives them away by value.
  /// @{
  const ConvShape& target() const& { return target_; }
  const std::vector<Branch<T>>& branches() const& { return branches_; }
  ConvShape target() && { return target_; }
  std::vector<Branch<T>> branches() && { return std::move(branches_); }
  /// @}

  /// Computes out = sum_i embed_i(term(s_i, i, index)), the sum in both rules. `index` counts the weights of branch i
  /// in the branch's layout. Throws std::invalid_argument unless `out` has target().size() elements.
  void sum(std::span<T> out, auto term) const {
    require_size("out", out.size());
    std::ranges::fill(out, T(0));
    for (std::size_t i = 0; i < branches_.size(); ++i)
      embed(branches_[i].shape, target_, [&](std::size_t out_channel, std::size_t place, std::size_t index) {
        out[place] += term(branches_[i].scale[out_channel], i, index);
      });
  }

  /// The Rule of Initialization: weight = sum_i embed_i(s_i * W_i). `branch_weights` holds the kernel W_i of each
  /// branch in the order of branches(); W_i is (out_channels, in_channels / groups, kh, kw) in the layout of its shape.
  /// `weight` receives the target's kernel, in the layout of target(). Throws std::invalid_argument if a number of
  /// elements is wrong or `weight` overlaps a kernel.
  void equivalent_kernel(std::span<const std::span<const T>> branch_weights, std::span<T> weight) const {
    require(branch_weights.size() == branches_.size(), "the block has ", branches_.size(), " branches, ",
            branch_weights.size(), " kernels were given");
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      require(branch_weights[i].size() == branches_[i].shape.size(), "kernel ", i, " has ", branch_weights[i].size(),
              " weights, branch [", describe(branches_[i].shape), "] has ", branches_[i].shape.size());
      require(!overlap<T>(weight, branch_weights[i]), "weight and kernel ", i, " overlap in memory");
    }
    require_size("weight", weight.size());
    sum(weight, [&](T s, std::size_t i, std::size_t index) { return s * branch_weights[i][index]; });
  }

  /// The same, for kernels that are listed in braces: {w3x3, w1x1}.
  void equivalent_kernel(std::initializer_list<std::span<const T>> branch_weights, std::span<T> weight) const {
    equivalent_kernel(std::span(branch_weights.begin(), branch_weights.size()), weight);
  }

 private:
  void require_size(const char* what, std::size_t size) const {
    require(size == target_.size(), what, " has ", size, " elements, target [", describe(target_), "] has ",
            target_.size());
  }

  ConvShape target_;
  std::vector<Branch<T>> branches_;
};

}  // namespace repopt
