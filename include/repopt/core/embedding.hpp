// embed: the linear map that places a branch's kernel in the target kernel. Both rules are built on it.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "repopt/core/conv_shape.hpp"

namespace repopt {

/// Where the weights of a branch lie in its target. Tap (a, b) of the branch is tap first_tap + tap_step * (a, b) of
/// the target. Input channel i of output channel `out` is input channel first_in(out) + i of the target; both are
/// counted within their group.
class Placement {
 public:
  std::array<std::size_t, 2> first_tap{};  ///< (row, column)
  std::array<std::size_t, 2> tap_step{};   ///< (rows, columns)

  /// `branch` must embed in `target`: see embeds().
  constexpr Placement(const ConvShape& branch, const ConvShape& target)
      : out_per_group_(branch.out_per_group()),
        in_per_group_(branch.in_per_group()),
        groups_per_target_group_(branch.groups / target.groups) {
    for (std::size_t axis = 0; axis < 2; ++axis) {
      first_tap[axis] = (target.padding[axis] - branch.padding[axis]) / target.dilation[axis];
      tap_step[axis] = branch.kernel_size[axis] == 1 ? 1 : branch.dilation[axis] / target.dilation[axis];
    }
  }

  /// The first input channel that the branch connects to output channel `out`, counted within the target's group.
  constexpr std::size_t first_in(std::size_t out) const {
    return out / out_per_group_ % groups_per_target_group_ * in_per_group_;
  }

  /// The place in the target of a weight of the branch.
  constexpr WeightIndex operator()(const WeightIndex& weight) const {
    return {.out = weight.out,
            .in = first_in(weight.out) + weight.in,
            .row = first_tap[0] + tap_step[0] * weight.row,
            .column = first_tap[1] + tap_step[1] * weight.column};
  }

 private:
  std::size_t out_per_group_, in_per_group_, groups_per_target_group_;
};

/// Says in words why `branch` does not embed in `target`; empty if it does embed. Both shapes must be valid.
constexpr std::string_view embedding_obstacle(const ConvShape& branch, const ConvShape& target) {
  if (branch.in_channels != target.in_channels || branch.out_channels != target.out_channels)
    return "their channels differ";
  if (branch.groups % target.groups != 0)
    return "the target's groups do not divide the branch's, so the target lacks some of its connections";
  if (branch.stride != target.stride) return "their strides differ";
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::size_t branch_reach = branch.dilation[axis] * (branch.kernel_size[axis] - 1);
    const std::size_t target_reach = target.dilation[axis] * (target.kernel_size[axis] - 1);
    if (2 * branch.padding[axis] + target_reach != 2 * target.padding[axis] + branch_reach)
      return "2 * padding - dilation * (kernel_size - 1) differs, so their outputs differ in size";
    if (branch_reach > target_reach) return "the branch's kernel is larger than the target's";
    const std::size_t shift = target.padding[axis] - branch.padding[axis];
    if (shift % target.dilation[axis] != 0 ||
        (branch.kernel_size[axis] > 1 && branch.dilation[axis] % target.dilation[axis] != 0))
      return "a tap of the branch falls between the target's taps";
  }
  return {};
}

/// Whether every weight of `branch` has its own place in `target`. This needs equal channels, strides and output sizes,
/// every tap of the branch on a tap of the target, and target groups that divide the branch's groups.
constexpr bool embeds(const ConvShape& branch, const ConvShape& target) {
  return embedding_obstacle(branch, target).empty();
}

/// Calls visit(out_channel, place, index) for each weight of `branch`: `place` is its index in the target's layout,
/// `index` in the branch's. The branch must embed: see embeds(). The map is injective: no two weights of a branch share
/// a place. This makes GradMult elementwise.
constexpr void embed(const ConvShape& branch, const ConvShape& target, auto visit) {
  const Placement placed(branch, target);
  for_each_weight(branch, [&](const WeightIndex& weight) {
    visit(weight.out, target.offset(placed(weight)), branch.offset(weight));
  });
}

}  // namespace repopt
