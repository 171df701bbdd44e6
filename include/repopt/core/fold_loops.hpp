// The loops of folding: where a branch's weights lie in the rows of a target kernel.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/embedding.hpp"

namespace repopt {

/// Weights that lie in a row, in the branch and in the target: weight[index + k * index_step] belongs to
/// kernel[place + k * place_step], k < count. Its output channel is `out` or, where the target is HWIO, out + k.
struct WeightRun {
  /// As above.
  /// @{
  std::size_t out, place, index, count, place_step, index_step;
  /// @}
};

/// Calls visit(k, place, index) for each weight of the run. The calls must not depend on each other; they become vector
/// code if `visit` captures by value.
void for_each_in_run(const WeightRun& run, auto visit) {
  if (run.place_step == 1 && run.index_step == 1)
    for_each_independent(run.count, [=](std::size_t k) { visit(k, run.place + k, run.index + k); });
  else
    for_each_independent(
        run.count, [=](std::size_t k) { visit(k, run.place + k * run.place_step, run.index + k * run.index_step); });
}

/// Where a convolution's weights lie in a target kernel, row by row of the target. A row is the memory below the
/// outermost axes: all weights of one output channel or, in HWIO, all output channels of one tap and input channel.
class RowPlacement {
 public:
  /// `weights` must embed in `target`.
  RowPlacement(const ConvShape& weights, const ConvShape& target)
      : weights_(weights),
        target_(target),
        placed_(weights, target),
        is_contiguous_(weights.taps() == target.taps() && weights.layout == target.layout &&
                       (target.layout == WeightLayout::oihw || weights.groups == target.groups)) {}

  /// The placement of a 1x1 convolution whose one tap lies on tap `tap` (row, column) of the target, wherever that is.
  static RowPlacement at_tap(const ConvShape& pointwise, const ConvShape& target, const WeightIndex& tap) {
    RowPlacement placement(pointwise, target);
    placement.placed_.first_tap = {tap.row, tap.column};
    placement.is_contiguous_ = target.taps() == 1 && placement.is_contiguous_;
    return placement;
  }

  /// visit(WeightRun) for each run in the row of output channel `out`, for targets in OIHW and OHWI.
  void for_each_run_of_channel(std::size_t out, auto visit) const {
    const std::size_t in = weights_.in_per_group();
    if (is_contiguous_) {
      const std::size_t place = target_.offset({.out = out, .in = placed_.first_in(out)});
      visit(WeightRun{out, place, weights_.offset({.out = out}), in * weights_.taps(), 1, 1});
      return;
    }
    for (std::size_t row = 0; row < weights_.kernel_size[0]; ++row)
      for (std::size_t column = 0; column < weights_.kernel_size[1]; ++column) {
        const WeightIndex weight{.out = out, .row = row, .column = column};
        visit(WeightRun{out, target_.offset(placed_(weight)), weights_.offset(weight), in, target_.strides().in,
                        weights_.strides().in});
      }
  }

  /// visit(WeightRun) for each run in the row of a tap and of input channel `in` of each group, for targets in HWIO.
  void for_each_run_of_tap(const WeightIndex& tap, std::size_t in, auto visit) const {
    const std::size_t row = tap.row - placed_.first_tap[0], column = tap.column - placed_.first_tap[1];  // may wrap
    const auto [row_step, column_step] = placed_.tap_step;
    if (row % row_step != 0 || row / row_step >= weights_.kernel_size[0] || column % column_step != 0 ||
        column / column_step >= weights_.kernel_size[1])
      return;
    WeightIndex weight{.in = in % weights_.in_per_group(), .row = row / row_step, .column = column / column_step};
    WeightIndex place{.in = in, .row = tap.row, .column = tap.column};
    const std::size_t groups = weights_.groups / target_.groups, step = weights_.strides().out;
    const std::size_t channels = groups == 1 ? weights_.out_channels : weights_.out_per_group();
    weight.out = in / weights_.in_per_group() * channels;
    for (; weight.out < weights_.out_channels; weight.out += groups * channels) {
      place.out = weight.out;
      visit(WeightRun{weight.out, target_.offset(place), weights_.offset(weight), channels, 1, step});
    }
  }

 private:
  ConvShape weights_, target_;
  Placement placed_;
  bool is_contiguous_;  ///< whether all weights of an output channel are one run
};

/// The number of shares into which the target's rows are cut for threads. It depends on the shape alone, so that sums
/// over the shares, added in order, are the same for any number of threads.
constexpr std::size_t fold_shares(const ConvShape& target) {
  const std::size_t rows = target.layout == WeightLayout::hwio ? target.in_per_group() : target.out_channels;
  return std::min<std::size_t>(rows, 32);
}

/// A row of the target kernel.
struct FoldRow {
  const ConvShape& target;
  WeightIndex first;  ///< of its weights

  /// Where the row begins in memory, and how long it is.
  /// @{
  std::size_t begin() const { return target.offset(first); }
  std::size_t size() const {
    return target.layout == WeightLayout::hwio ? target.out_channels : target.in_per_group() * target.taps();
  }
  /// @}

  /// visit(WeightRun) for each run of the placed weights in this row.
  void for_each_run(const RowPlacement& placement, auto visit) const {
    if (target.layout == WeightLayout::hwio)
      placement.for_each_run_of_tap(first, first.in, visit);
    else
      placement.for_each_run_of_channel(first.out, visit);
  }
};

/// Visits the target's rows share by share, in parallel: visit(share, FoldRow). In HWIO a share is a range of input
/// channels with all their taps, so that all places of a 1x1 convolution's weight are in one share.
void for_each_fold_row(const ConvShape& target, auto visit) {
  const bool is_hwio = target.layout == WeightLayout::hwio;
  const std::size_t rows = is_hwio ? target.in_per_group() : target.out_channels, shares = fold_shares(target);
  parallel_for(shares, target.size(), [&](std::size_t share) {
    const std::size_t begin = share * rows / shares, end = (share + 1) * rows / shares;
    if (!is_hwio) {
      for (std::size_t out = begin; out < end; ++out) visit(share, FoldRow{target, {.out = out}});
      return;
    }
    for (std::size_t row = 0; row < target.kernel_size[0]; ++row)
      for (std::size_t column = 0; column < target.kernel_size[1]; ++column)
        for (std::size_t in = begin; in < end; ++in)
          visit(share, FoldRow{target, {.in = in, .row = row, .column = column}});
  });
}

/// The sum of weight * kernel over a run, in lanes that become vector code.
template <class T>
T dot_of_run(const WeightRun& run, const T* weight, const T* kernel) {
  constexpr std::size_t lanes = 64 / sizeof(T);
  std::array<T, lanes> sums{};
  std::size_t k = 0;
  if (run.place_step == 1 && run.index_step == 1)
    for (; k + lanes <= run.count; k += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane)
        sums[lane] += weight[run.index + k + lane] * kernel[run.place + k + lane];
  T sum = 0;
  for (; k < run.count; ++k) sum += weight[run.index + k * run.index_step] * kernel[run.place + k * run.place_step];
  for (const T lane : sums) sum += lane;
  return sum;
}

/// Weights that one scale for each output channel carries into the target: kernel[place] += factor[out] *
/// weight[index].
template <class T>
struct FoldPart {
  RowPlacement placement;     ///< where the weights lie
  const T* weight = nullptr;  ///< the weights
  T* weight_grad = nullptr;   ///< dL/dweight
  const T* factor = nullptr;  ///< (out_channels), s or s * f
  const T* filter = nullptr;  ///< (out_channels), f; null where the factor is s
  T* scale_sums = nullptr;    ///< (shares, sums_step), where dL/ds is summed; null if s is constant
  std::size_t sums_step = 0;  ///< elements from share to share
  bool is_first = true;       ///< whether no earlier part has the same weights
  bool is_gathered = false;   ///< whether weight_grad gets G itself, without the factor

  /// Adds the weights of a row to the kernel.
  void add_to(const FoldRow& row, T* kernel) const {
    const bool along_out = row.target.layout == WeightLayout::hwio;
    row.for_each_run(placement, [=, this](const WeightRun& run) {
      const T *const w = weight, *const s = factor + run.out;
      if (along_out) {
        for_each_in_run(run,
                        [=](std::size_t k, std::size_t place, std::size_t index) { kernel[place] += s[k] * w[index]; });
      } else {
        const T factor_of_row = *s;
        for_each_in_run(
            run, [=](std::size_t, std::size_t place, std::size_t index) { kernel[place] += factor_of_row * w[index]; });
      }
    });
  }

  /// Adds dL/dweight and dL/ds for `kernel_grad`, G, in a row; with `overwrites`, dL/dweight is written instead.
  void add_gradients(const FoldRow& row, std::size_t share, const T* kernel_grad, bool overwrites) const {
    const bool along_out = row.target.layout == WeightLayout::hwio;
    const bool writes = overwrites && is_first;
    row.for_each_run(placement, [=, this](const WeightRun& run) {
      T* const to = weight_grad;
      if (is_gathered) {
        for_each_in_run(run,
                        [=](std::size_t, std::size_t place, std::size_t index) { to[index] = kernel_grad[place]; });
      } else if (along_out) {
        const T* const s = factor + run.out;
        add_scaled(run, kernel_grad, writes, [=](std::size_t k) { return s[k]; });
        if (scale_sums) add_scale_sums(run, kernel_grad, scale_sums + share * sums_step + run.out);
      } else {
        const T s = factor[run.out], f = filter ? filter[run.out] : T(1);
        add_scaled(run, kernel_grad, writes, [=](std::size_t) { return s; });
        if (scale_sums) scale_sums[share * sums_step + run.out] += f * dot_of_run(run, weight, kernel_grad);
      }
    });
  }

 private:
  void add_scaled(const WeightRun& run, const T* kernel_grad, bool writes, auto factor_of) const {
    T* const to = weight_grad;
    if (writes)  // what is there may be NaN
      for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
        to[index] = factor_of(k) * kernel_grad[place];
      });
    else
      for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
        to[index] += factor_of(k) * kernel_grad[place];
      });
  }

  void add_scale_sums(const WeightRun& run, const T* kernel_grad, T* sums) const {
    const T* const w = weight;
    if (const T* const f = filter ? filter + run.out : nullptr)
      for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
        sums[k] += f[k] * (w[index] * kernel_grad[place]);
      });
    else
      for_each_in_run(
          run, [=](std::size_t k, std::size_t place, std::size_t index) { sums[k] += w[index] * kernel_grad[place]; });
  }
};

}  // namespace repopt
