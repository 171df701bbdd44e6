// The kinds of CSLA blocks that the project supports, small enough to train in a test.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"

namespace repopt::testing {

struct BlockKind {
  std::string name;
  ConvShape target;
  std::vector<ConvShape> branches;
};

/// Returns a square convolution that is padded so that it keeps the image's size at stride 1.
constexpr ConvShape square(std::size_t in_channels, std::size_t out_channels, std::size_t kernel_size,
                           std::size_t dilation = 1, std::size_t groups = 1) {
  const std::size_t padding = dilation * (kernel_size - 1) / 2;
  return {.in_channels = in_channels,
          .out_channels = out_channels,
          .kernel_size = {kernel_size, kernel_size},
          .padding = {padding, padding},
          .dilation = {dilation, dilation},
          .groups = groups};
}

constexpr ConvShape strided(ConvShape shape, std::array<std::size_t, 2> stride) {
  shape.stride = stride;
  return shape;
}

constexpr ConvShape with_kernel(ConvShape shape, std::array<std::size_t, 2> kernel_size) {
  shape.kernel_size = kernel_size;
  shape.padding = {(kernel_size[0] - 1) / 2, (kernel_size[1] - 1) / 2};
  return shape;
}

inline std::vector<BlockKind> block_kinds() {
  const ConvShape conv3x3 = square(4, 4, 3), conv1x1 = square(4, 4, 1), identity = ConvShape::depthwise_1x1(4);
  const ConvShape depthwise = square(4, 4, 3, 1, 4), grouped = square(4, 6, 3, 1, 2);
  return {
      {"two 3x3", conv3x3, {conv3x3, conv3x3}},
      {"3x3 + 1x1", square(3, 5, 3), {square(3, 5, 3), square(3, 5, 1)}},
      {"RepVGG: 3x3 + 1x1 + identity", conv3x3, {conv3x3, conv1x1, identity}},
      {"stride 2",
       strided(square(4, 6, 3), {2, 2}),
       {strided(square(4, 6, 3), {2, 2}), strided(square(4, 6, 1), {2, 2})}},
      {"stride 2x1 with a strided identity",
       strided(conv3x3, {2, 1}),
       {strided(conv3x3, {2, 1}), ConvShape::depthwise_1x1(4, {2, 1})}},
      {"depthwise + identity", depthwise, {depthwise, identity}},
      {"grouped 3x3 and 1x1 in a grouped 3x3", grouped, {grouped, square(4, 6, 1, 1, 2)}},
      {"grouped and depthwise in a dense 3x3", conv3x3, {conv3x3, square(4, 4, 3, 1, 2), depthwise, identity}},
      {"depthwise in a grouped 3x3", square(4, 4, 3, 1, 2), {square(4, 4, 3, 1, 2), depthwise, identity}},
      {"asymmetric 1x3 and 3x1", conv3x3, {conv3x3, with_kernel(conv3x3, {1, 3}), with_kernel(conv3x3, {3, 1})}},
      {"dilated 3x3 in a 5x5", square(3, 4, 5), {square(3, 4, 5), square(3, 4, 3), square(3, 4, 3, 2)}},
      {"3x3 of dilation 2, with 1x1", square(4, 4, 3, 2), {square(4, 4, 3, 2), conv1x1, identity}},
      {"three copies of 1x1", conv3x3, {conv3x3, conv1x1, conv1x1, conv1x1, identity, identity}},
      {"no branch as large as the target", conv3x3, {with_kernel(conv3x3, {3, 1}), conv1x1}},
      {"fully connected", ConvShape::linear(7, 5), {ConvShape::linear(7, 5), ConvShape::linear(7, 5)}},
      {"fully connected + identity", ConvShape::linear(6, 6), {ConvShape::linear(6, 6), ConvShape::depthwise_1x1(6)}},
  };
}

/// Makes a block of that kind. Target and branches get the three layouts in turn, beginning with layout number `first`.
template <std::floating_point T>
CslaBlock<T> make_block(const BlockKind& kind, std::size_t first, const std::function<double()>& scale) {
  constexpr std::array layouts{WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio};
  ConvShape target = kind.target;
  target.layout = layouts[first % layouts.size()];
  std::vector<Branch<T>> branches;
  for (ConvShape shape : kind.branches) {
    shape.layout = layouts[(first + branches.size() + 1) % layouts.size()];
    std::vector<T> scales(shape.out_channels);
    for (T& s : scales) s = T(scale());
    branches.emplace_back(shape, std::move(scales));
  }
  return {target, std::move(branches)};
}

}  // namespace repopt::testing
