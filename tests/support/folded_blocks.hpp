// Random blocks for the tests of folding: branches of every kind, and for each branch the layers that it stands for.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "repopt/core/folded_kernel.hpp"
#include "support/naive_conv.hpp"
#include "support/random.hpp"
#include "support/real_branches.hpp"

namespace repopt::testing {

/// Branches of one target, and the same branches as layers with their own weights.
template <std::floating_point T>
struct FoldedBlock {
  ConvShape target;
  std::vector<FoldedBranch<T>> branches{};
  RealBranches<T> real{};

  FoldedKernel<T> folded() const { return {target, branches}; }

  /// Adds a branch with random weights. `filter_kind` is the kind of layer that computes the filter of a filtered
  /// branch.
  void add(Random& random, FoldedBranch<T> branch, bool trains_scale,
           typename RealLayer<T>::Kind filter_kind = RealLayer<T>::Kind::fixed) {
    branch.trains_scale = trains_scale;
    branch.initial_weights.clear();
    RealBranch<T> layers{{}, {branch.convolution.scale}, trains_scale};
    for (ConvShape shape : branch.operators) {
      const std::vector<T>& weight = branch.initial_weights.emplace_back(random.numbers<T>(shape.size()));
      if (!branch.filter.empty()) shape.stride = {1, 1};
      layers.layers.push_back({RealLayer<T>::Kind::trained, shape, {to_oihw(shape, weight)}});
    }
    if (!branch.filter.empty()) {
      ConvShape filter = branch.convolution.shape;
      filter.in_channels = filter.groups = filter.out_channels;
      layers.layers.push_back({filter_kind, filter, {branch.filter}});
    }
    branches.push_back(std::move(branch));
    real.branches.push_back(std::move(layers));
  }

  /// Adds a 1x1 convolution that is followed by average pooling.
  void add_average(Random& random, const Branch<T>& branch, bool trains_scale) {
    add(random, FoldedBranch<T>::average(branch), trains_scale, RealLayer<T>::Kind::average);
  }
};

/// Returns a convolution with the kernel size, padding, stride and dilation of `window`, and a random layout and number
/// of groups.
inline ConvShape random_operator(Random& random, ConvShape window, std::size_t in, std::size_t out,
                                 std::size_t target_groups) {
  window.in_channels = in;
  window.out_channels = out;
  window.groups = random_divisor(random, std::gcd(in, out), target_groups);
  window.layout = random_layout(random);
  return window;
}

/// The window of a 1x1 convolution with stride 1.
inline ConvShape pointwise_window() { return {.kernel_size = {1, 1}, .padding = {0, 0}}; }

inline constexpr std::array branch_kind_names{"conv",          "filtered",      "average",
                                              "1x1, then KxK", "KxK, then 1x1", "depthwise, then pointwise"};

/// Adds a random branch of the kind branch_kind_names[kind].
template <std::floating_point T>
void add_random_branch(Random& random, FoldedBlock<T>& block, std::size_t kind, bool trains_scale) {
  const ConvShape& target = block.target;
  const ConvShape shape = random_branch_shape(random, target);
  const std::size_t in = target.in_channels, out = target.out_channels, groups = target.groups;
  const std::vector<T> scale = random_scale<T>(random, out);
  const auto add_sequence = [&](const ConvShape& first, const ConvShape& second) {
    block.add(random, FoldedBranch<T>::sequence(first, second, scale, groups), trains_scale);
  };
  const std::size_t mid = groups * random.integer(1, 6);
  switch (kind) {
    case 0: return block.add(random, FoldedBranch<T>::conv({shape, scale}), trains_scale);
    case 1:
      return block.add(random, FoldedBranch<T>::filtered({shape, scale}, random.numbers<T>(out * shape.taps())),
                       trains_scale);
    case 2: return block.add_average(random, {shape, scale}, trains_scale);
    case 3:
      return add_sequence(random_operator(random, pointwise_window(), in, mid, groups),
                          random_operator(random, shape, mid, out, groups));
    case 4:
      return add_sequence(random_operator(random, shape, in, mid, groups),
                          random_operator(random, pointwise_window(), mid, out, groups));
    default: {
      const std::size_t multiplied = in * random.integer(1, 3);
      ConvShape depthwise = random_operator(random, shape, in, multiplied, groups);
      depthwise.groups = in;
      return add_sequence(depthwise, random_operator(random, pointwise_window(), multiplied, out, groups));
    }
  }
}

/// Returns a block with a random target and up to four branches of any kind, plus an identity if it embeds.
template <std::floating_point T>
FoldedBlock<T> random_folded_block(Random& random) {
  FoldedBlock<T> block{random_target(random)};
  const ConvShape identity = ConvShape::depthwise_1x1(block.target.in_channels, block.target.stride);
  if (embeds(identity, block.target))
    block.add(random, FoldedBranch<T>::conv({identity, T(1)}), random.integer(0, 1) == 1);
  for (std::size_t i = random.integer(1, 4); i > 0; --i)
    add_random_branch(random, block, random.integer(0, branch_kind_names.size() - 1), random.integer(0, 1) == 1);
  return block;
}

/// Returns W' in the target's layout.
template <std::floating_point T>
std::vector<T> kernel_of(const FoldedKernel<T>& folded) {
  std::vector<T> kernel(folded.target().size(), T(99));
  folded.fold(kernel);
  return kernel;
}

/// Returns the output of the folded convolution.
template <std::floating_point T>
Images<T> folded_output(const FoldedKernel<T>& folded, const Images<T>& x) {
  return conv(folded.target(), x, to_oihw(folded.target(), kernel_of(folded)));
}

/// Returns a parameter's numbers in PyTorch's order: weights in OIHW.
template <std::floating_point T>
std::vector<T> in_torch_order(const FoldedParameter<T>& parameter, std::span<const T> numbers) {
  const std::vector<T> copy(numbers.begin(), numbers.end());
  return parameter.shape ? to_oihw(*parameter.shape, copy) : copy;
}

}  // namespace repopt::testing
