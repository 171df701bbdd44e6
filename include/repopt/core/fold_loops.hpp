// The loops of folding: they find where a branch's weights lie in the rows of a target kernel.
#pragma once

#include <algorithm>
#include <cstddef>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/embedding.hpp"

namespace repopt {

/// Weights at equal distances, in the branch and in the target: weight[index + k * index_step] is added to
/// kernel[place + k * place_step] for k < count.
struct WeightRun {
  std::size_t out;         ///< the weights' output channel; in HWIO targets weight k belongs to channel out + k
  std::size_t place;       ///< the first weight's index in the target
  std::size_t index;       ///< the first weight's index in the branch
  std::size_t count;       ///< number of weights
  std::size_t place_step;  ///< from weight to weight
  std::size_t index_step;  ///< from weight to weight
};

/// Calls visit(k, place, index) for each weight of the run. The calls must not depend on each other. The loop becomes
/// vector code if `visit` captures by value.
void for_each_in_run(const WeightRun& run, auto visit) {
  if (run.place_step == 1 && run.index_step == 1)
    for_each_independent(run.count, [=](std::size_t k) { visit(k, run.place + k, run.index + k); });
  else
    for_each_independent(
        run.count, [=](std::size_t k) { visit(k, run.place + k * run.place_step, run.index + k * run.index_step); });
}

/// A part of the target kernel that is contiguous in memory: all weights of one output channel or, in HWIO, the weights
/// of one tap for a range of input channels (of each group).
struct FoldSlab {
  const ConvShape& target;  ///< the kernel's shape
  WeightIndex first;        ///< its first weight
  std::size_t ins = 0;      ///< in HWIO, the number of input channels from first.in on

  /// The slab's first index in memory and its number of weights.
  /// @{
  std::size_t begin() const { return target.offset(first); }
  std::size_t size() const { return is_hwio() ? ins * target.out_channels : target.in_per_group() * target.taps(); }
  /// @}

  /// Whether the target is HWIO, so that runs go along the output channels.
  bool is_hwio() const { return target.layout == WeightLayout::hwio; }
};

/// The number of shares into which the target is cut for threads. It depends only on the shape. Sums over the shares
/// are added in order, so they are the same for any number of threads. In HWIO a slab of a share has at least 32768
/// weights, because shorter slabs interrupt the processor's hardware prefetching: a step of gradients for 512 x 512
/// channels took 1.15 times as long with 32 shares as with 4 or 1.
constexpr std::size_t fold_shares(const ConvShape& target) {
  constexpr std::size_t most = 32, slab = 1 << 15;
  if (target.layout != WeightLayout::hwio) return std::min(target.out_channels, most);
  return std::clamp<std::size_t>(target.in_per_group() * target.out_channels / slab, 1,
                                 std::min(target.in_per_group(), most));
}

/// Calls visit(share, FoldSlab) for all slabs of the target. The shares run in parallel, and the slabs of a share one
/// after another. In HWIO a share is a range of input channels with all their taps, so all places of a 1x1
/// convolution's weight are in one share.
void for_each_fold_slab(const ConvShape& target, auto visit) {
  const bool is_hwio = target.layout == WeightLayout::hwio;
  const std::size_t rows = is_hwio ? target.in_per_group() : target.out_channels, shares = fold_shares(target);
  parallel_for(shares, target.size(), [&](std::size_t share) {
    const std::size_t begin = share * rows / shares, end = (share + 1) * rows / shares;
    if (!is_hwio) {
      for (std::size_t out = begin; out < end; ++out) visit(share, FoldSlab{target, {.out = out}});
      return;
    }
    for (std::size_t row = 0; row < target.kernel_size[0]; ++row)
      for (std::size_t column = 0; column < target.kernel_size[1]; ++column)
        visit(share, FoldSlab{target, {.in = begin, .row = row, .column = column}, end - begin});
  });
}

/// The places of a convolution's weights in the slabs of a target kernel.
class SlabPlacement {
 public:
  /// `weights` must embed in `target`.
  SlabPlacement(const ConvShape& weights, const ConvShape& target)
      : weights_(weights),
        target_(target),
        placed_(weights, target),
        is_contiguous_(weights.taps() == target.taps() && weights.layout == target.layout &&
                       (target.layout == WeightLayout::oihw || weights.groups == target.groups)) {}

  /// The placement of a 1x1 convolution whose one tap lies on tap `tap` (row, column) of the target. The tap may be
  /// any, not only the centre.
  static SlabPlacement at_tap(const ConvShape& pointwise, const ConvShape& target, const WeightIndex& tap) {
    SlabPlacement placement(pointwise, target);
    placement.placed_.first_tap = {tap.row, tap.column};
    placement.is_contiguous_ = target.taps() == 1 && placement.is_contiguous_;
    return placement;
  }

  /// Calls visit(WeightRun) for each run in the slab.
  void for_each_run(const FoldSlab& slab, auto visit) const {
    if (slab.is_hwio())
      for_each_run_of_tap(slab, visit);
    else
      for_each_run_of_channel(slab.first.out, visit);
  }

 private:
  void for_each_run_of_channel(std::size_t out, auto visit) const {
    const std::size_t in = weights_.in_per_group();
    if (is_contiguous_) {
      const std::size_t place = target_.offset({.out = out, .in = placed_.first_in(out)});
      visit(WeightRun{out, place, weights_.offset({.out = out}), in * weights_.taps(), 1, 1});
      return;
    }
    const std::size_t place_step = target_.strides().in, index_step = weights_.strides().in;
    for (std::size_t row = 0; row < weights_.kernel_size[0]; ++row)
      for (std::size_t column = 0; column < weights_.kernel_size[1]; ++column) {
        const WeightIndex weight{.out = out, .row = row, .column = column};
        visit(WeightRun{out, target_.offset(placed_(weight)), weights_.offset(weight), in, place_step, index_step});
      }
  }

  void for_each_run_of_tap(const FoldSlab& slab, auto visit) const {
    // A tap before the first one wraps round to a number that is too large for the kernel below.
    const std::size_t row = slab.first.row - placed_.first_tap[0];
    const std::size_t column = slab.first.column - placed_.first_tap[1];
    const auto [row_step, column_step] = placed_.tap_step;
    if (row % row_step != 0 || row / row_step >= weights_.kernel_size[0] || column % column_step != 0 ||
        column / column_step >= weights_.kernel_size[1])
      return;
    WeightIndex weight{.row = row / row_step, .column = column / column_step};
    const std::size_t groups = weights_.groups / target_.groups, out_step = weights_.strides().out;
    const std::size_t place = slab.begin();
    if (groups == 1) {
      weight.in = slab.first.in;
      const std::size_t channels = target_.out_channels, index = weights_.offset(weight),
                        in_step = weights_.strides().in;
      for (std::size_t k = 0; k < slab.ins; ++k)
        visit(WeightRun{0, place + k * channels, index + k * in_step, channels, 1, out_step});
      return;
    }
    for (std::size_t k = 0; k < slab.ins; ++k) {
      const std::size_t group = (slab.first.in + k) / weights_.in_per_group(), channels = weights_.out_per_group();
      weight.in = (slab.first.in + k) % weights_.in_per_group();
      for (weight.out = group * channels; weight.out < weights_.out_channels; weight.out += groups * channels)
        visit(WeightRun{weight.out, place + k * target_.out_channels + weight.out, weights_.offset(weight), channels, 1,
                        out_step});
    }
  }

  ConvShape weights_, target_;
  Placement placed_;
  bool is_contiguous_;  ///< whether all weights of an output channel form one run
};

}  // namespace repopt
