// Seeded random numbers, and random CSLA blocks with every kind of branch that embeds.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"

namespace repopt::testing {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// Returns a number that is uniform in [low, high]. It is the same on every platform, unlike the distributions of
  /// <random>.
  std::size_t integer(std::size_t low, std::size_t high) { return low + std::size_t(engine_() % (high - low + 1)); }

  double real(double low, double high) { return low + (high - low) * double(engine_() >> 11) / 9007199254740992.0; }

  template <class V>
  V one_of(const std::vector<V>& choices) {
    return choices[integer(0, choices.size() - 1)];
  }

  /// Returns random numbers in [-1, 1].
  template <std::floating_point T>
  std::vector<T> numbers(std::size_t count) {
    std::vector<T> result(count);
    for (T& number : result) number = T(real(-1, 1));
    return result;
  }

 private:
  std::mt19937_64 engine_;
};

inline WeightLayout random_layout(Random& random) {
  return random.one_of<WeightLayout>({WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio});
}

/// Returns a random divisor of `number` that is a multiple of `factor`.
inline std::size_t random_divisor(Random& random, std::size_t number, std::size_t factor = 1) {
  std::vector<std::size_t> divisors;
  for (std::size_t d = factor; d <= number; d += factor)
    if (number % d == 0) divisors.push_back(d);
  return random.one_of(divisors);
}

/// Returns a random target: 1 to 5 taps along each axis, up to 12 channels, any groups, stride, dilation and layout.
inline ConvShape random_target(Random& random) {
  const std::size_t unit = random.integer(1, 4);
  ConvShape shape{.in_channels = unit * random.integer(1, 3), .out_channels = unit * random.integer(1, 3)};
  shape.groups = random_divisor(random, unit);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    shape.kernel_size[axis] = random.integer(1, 5);
    shape.dilation[axis] = random.integer(1, 2);
    shape.stride[axis] = random.integer(1, 2);
    shape.padding[axis] = (shape.dilation[axis] * (shape.kernel_size[axis] - 1) + 1) / 2 + random.integer(0, 1);
  }
  shape.layout = random_layout(random);
  return shape;
}

/// Returns a random shape that embeds in `target`: fewer taps along each axis, with larger distances, around the same
/// centre, and more groups.
inline ConvShape random_branch_shape(Random& random, const ConvShape& target) {
  ConvShape branch = target;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    std::vector<std::array<std::size_t, 2>> choices;  // number of taps, and their distance in taps of the target
    const std::size_t span = target.kernel_size[axis] - 1;
    for (std::size_t taps = 1; taps <= span + 1; ++taps)
      for (std::size_t step = 1; (taps - 1) * step <= span && step <= span + 1; ++step)
        if ((span - (taps - 1) * step) % 2 == 0) choices.push_back({taps, step});
    const auto [taps, step] = random.one_of(choices);
    branch.kernel_size[axis] = taps;
    branch.dilation[axis] = target.dilation[axis] * step;
    branch.padding[axis] = target.padding[axis] - target.dilation[axis] * (span - (taps - 1) * step) / 2;
  }
  while (true) {
    branch.groups = target.groups * random_divisor(random, target.in_channels / target.groups);
    if (target.out_channels % branch.groups == 0) break;
  }
  branch.layout = random_layout(random);
  return branch;
}

/// Returns random scales in [-1.5, 1.5]; about one in ten is 0. They are multiples of 1/64, so sums of their squares
/// are exact. Such sums must agree bit by bit in any order of computing, with or without fused multiply-adds.
template <std::floating_point T>
std::vector<T> random_scale(Random& random, std::size_t out_channels) {
  std::vector<T> scale(out_channels);
  for (T& s : scale) s = random.integer(0, 9) == 0 ? T(0) : T(random.integer(0, 192)) / 64 - T(1.5);
  return scale;
}

template <std::floating_point T>
CslaBlock<T> random_block(Random& random) {
  const ConvShape target = random_target(random);
  std::vector<Branch<T>> branches;
  for (std::size_t i = random.integer(1, 4); i > 0; --i)
    branches.emplace_back(random_branch_shape(random, target), random_scale<T>(random, target.out_channels));
  return {target, std::move(branches)};
}

/// Returns one random kernel for each branch, in the branch's layout.
template <std::floating_point T>
std::vector<std::vector<T>> random_kernels(Random& random, const CslaBlock<T>& block) {
  std::vector<std::vector<T>> kernels;
  for (const Branch<T>& branch : block.branches()) kernels.push_back(random.numbers<T>(branch.shape.size()));
  return kernels;
}

template <std::floating_point T>
std::vector<std::span<const T>> spans(const std::vector<std::vector<T>>& kernels) {
  return {kernels.begin(), kernels.end()};
}

}  // namespace repopt::testing
