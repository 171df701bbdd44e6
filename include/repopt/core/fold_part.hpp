// FoldPart: weights that are multiplied by a scale and added to the target kernel, and the gradients that they get.
#pragma once

#include <algorithm>
#include <cstddef>

#include "repopt/base/dot.hpp"
#include "repopt/core/fold_loops.hpp"

namespace repopt {

/// Weights that are added to the target with one factor for each output channel: kernel[place] += factor[out] *
/// weight[index].
template <class T>
struct FoldPart {
  SlabPlacement placement;     ///< places of the weights in the target
  const T* weight = nullptr;   ///< the weights
  T* weight_grad = nullptr;    ///< dL/dweight
  const T* factor = nullptr;   ///< (out_channels), the scale s, or s * f for a filtered branch
  const T* filter = nullptr;   ///< (out_channels), the filter's f; null if the factor is s
  T* scale_sums = nullptr;     ///< (shares, sums_step), receives the sums of dL/ds; null if s is constant
  std::size_t sums_step = 0;   ///< distance in elements between two shares
  bool is_first = true;        ///< whether this is the first part with these weights
  bool covers_target = false;  ///< whether every place of the target belongs to one of the weights
  bool is_gathered = false;    ///< whether weight_grad receives G itself, without the factor

  /// Adds the weights in a slab to the kernel. With `writes` it overwrites the kernel instead; this is only for parts
  /// that cover the target.
  void add_to(const FoldSlab& slab, T* kernel, bool writes) const {
    const bool along_out = slab.is_hwio();
    placement.for_each_run(slab, [=, this](const WeightRun& run) {
      const T *const w = weight, *const s = factor + run.out;
      const auto add = [=](auto factor_of) {
        if (writes)
          for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
            kernel[place] = factor_of(k) * w[index];
          });
        else
          for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
            kernel[place] += factor_of(k) * w[index];
          });
      };
      if (along_out)
        add([=](std::size_t k) { return s[k]; });
      else
        add([of_channel = *s](std::size_t) { return of_channel; });
    });
  }

  /// Adds dL/dweight and dL/ds for `kernel_grad`, which is G, in a slab. With `overwrites`, dL/dweight is overwritten
  /// instead.
  void add_gradients(const FoldSlab& slab, std::size_t share, const T* kernel_grad, bool overwrites) const {
    const bool along_out = slab.is_hwio(), writes = overwrites && is_first;
    placement.for_each_run(slab, [=, this](const WeightRun& run) {
      T* const sums = scale_sums ? scale_sums + share * sums_step + run.out : nullptr;
      if (is_gathered)
        gather(run, kernel_grad);
      else if (along_out)
        add_along_out(run, kernel_grad, sums, writes);
      else
        add_in_channel(run, kernel_grad, sums, writes);
    });
  }

 private:
  void gather(const WeightRun& run, const T* kernel_grad) const {
    T* const to = weight_grad;
    for_each_in_run(run, [=](std::size_t, std::size_t place, std::size_t index) { to[index] = kernel_grad[place]; });
  }

  /// Adds step(k, index, G[place]) to the gradient of each weight. With `writes` it overwrites the gradient instead.
  void move_gradient(const WeightRun& run, const T* kernel_grad, bool writes, auto step) const {
    T* const to = weight_grad;
    if (writes)  // the old gradient may be NaN, so it must not be read
      for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
        to[index] = step(k, index, kernel_grad[place]);
      });
    else
      for_each_in_run(run, [=](std::size_t k, std::size_t place, std::size_t index) {
        to[index] += step(k, index, kernel_grad[place]);
      });
  }

  /// Handles a run along the output channels, each of which has its own scale.
  void add_along_out(const WeightRun& run, const T* kernel_grad, T* sums, bool writes) const {
    const T *const s = factor + run.out, *const f = filter ? filter + run.out : nullptr, *const w = weight;
    if (!sums)
      move_gradient(run, kernel_grad, writes, [=](std::size_t k, std::size_t, T g) { return s[k] * g; });
    else if (!f)
      move_gradient(run, kernel_grad, writes, [=](std::size_t k, std::size_t index, T g) {
        sums[k] += w[index] * g;
        return s[k] * g;
      });
    else
      move_gradient(run, kernel_grad, writes, [=](std::size_t k, std::size_t index, T g) {
        sums[k] += f[k] * (w[index] * g);
        return s[k] * g;
      });
  }

  /// Handles a run within one output channel.
  void add_in_channel(const WeightRun& run, const T* kernel_grad, T* sums, bool writes) const {
    const T s = factor[run.out];
    const auto gradient = [=](std::size_t, std::size_t, T g) { return s * g; };
    if (!sums) return move_gradient(run, kernel_grad, writes, gradient);
    // Work in pieces that are still in the first-level cache when the second loop reads them.
    constexpr std::size_t piece = 512;
    T sum = 0;
    for (WeightRun part = run; part.count > 0;) {
      WeightRun rest = part;
      part.count = std::min(part.count, piece);
      rest.count -= part.count, rest.place += part.count * part.place_step, rest.index += part.count * part.index_step;
      move_gradient(part, kernel_grad, writes, gradient);
      sum += dot_of_run(part, kernel_grad);
      part = rest;
    }
    *sums += (filter ? filter[run.out] : T(1)) * sum;
  }

  /// Returns the sum of weight * G over a run.
  T dot_of_run(const WeightRun& run, const T* kernel_grad) const {
    if (run.place_step == 1 && run.index_step == 1)
      return detail::dot(weight + run.index, kernel_grad + run.place, run.count);
    T sum = 0;
    for (std::size_t k = 0; k < run.count; ++k)
      sum += weight[run.index + k * run.index_step] * kernel_grad[run.place + k * run.place_step];
    return sum;
  }
};

}  // namespace repopt
