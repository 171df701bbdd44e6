// Lamb: steps in Adam's direction whose length is proportional to the weight's norm, for ordinary parameters and folded
// branches.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "repopt/base/parallel.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/rules/adam_moments.hpp"

namespace repopt {

/// LAMB (arXiv 1904.00962, algorithm 2). Each parameter is one of the algorithm's layers:
///
///     u = m^ / (sqrt(v^) + eps) + weight_decay * weight
///     weight -= lr * |weight| / |u| * u
///
/// Here m^ and v^ are bias-corrected moments. The ratio of the norms is 1 if one of them is 0, and it has no upper
/// limit. A step depends on the norm of each branch. Therefore no update of a kernel W' gives the same training: train
/// branches folded, by FoldedKernel.
struct Lamb : AdamFamily {
  /// The options, named like the arguments of torch.optim.AdamW.
  struct Options {
    double lr = 1e-3;                         ///< per step, relative to the weight's norm
    std::array<double, 2> betas{0.9, 0.999};  ///< in [0, 1): the decay rates of exp_avg and exp_avg_sq
    /// Added to sqrt(v^). 0 is legal, but then a weight whose gradient was 0 in every step becomes NaN, as in torch.
    double eps = 1e-6;
    double weight_decay = 0;  ///< added to the direction before its norm is taken
  };

  static constexpr std::string_view name = "lamb";  ///< the rule's name in saved state

  /// Throws std::invalid_argument for an option that is negative or not finite, and for betas outside [0, 1).
  static void validate(const Options& options) { AdamFamily::validate(options); }

  /// Takes one step on an ordinary parameter. The gradient is `grad`, dL/dweight, times `grad_scale`. The norms are the
  /// same for any number of threads.
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, State<T>& state,
                     const Options& options) {
    state.begin_step(weight.size(), false);
    const BiasCorrection correction(options, state.step);
    const T beta1 = T(options.betas[0]), beta2 = T(options.betas[1]), eps = T(options.eps);
    const T new_part1 = T(1 - options.betas[0]), new_part2 = T(1 - options.betas[1]);
    const T moment_correction = T(correction.moment), root_correction = T(correction.root);
    const T weight_decay = T(options.weight_decay);
    T* const m = state.exp_avg.data();
    T* const v = state.exp_avg_sq.data();
    T* const w = weight.data();
    const T* const g = grad.data();

    const auto direction = [=](std::size_t k) {
      return moment_correction * m[k] / (std::sqrt(v[k]) * root_correction + eps) + weight_decay * w[k];
    };
    const double weight_square = sum_over_chunks(weight.size(), [=](std::size_t first, std::size_t count) {
      double sum = 0;
      for (std::size_t k = first; k < first + count; ++k) sum += double(w[k]) * double(w[k]);
      return sum;
    });
    const double direction_square = sum_over_chunks(weight.size(), [=](std::size_t first, std::size_t count) {
      double sum = 0;
      for (std::size_t k = first; k < first + count; ++k) {
        const T scaled = grad_scale * g[k];
        m[k] = beta1 * m[k] + new_part1 * scaled;
        v[k] = beta2 * v[k] + new_part2 * (scaled * scaled);
        const double u = double(direction(k));
        sum += u * u;
      }
      return sum;
    });
    const bool has_ratio = weight_square > 0 && direction_square > 0;
    const T step_size = T(options.lr * (has_ratio ? std::sqrt(weight_square / direction_square) : 1));
    for_each_chunk(
        weight.size(),
        [=](std::size_t first, std::size_t count) {
          for_each_independent(count, [=](std::size_t k) { w[first + k] -= step_size * direction(first + k); });
        },
        w, m, v);
  }
};

}  // namespace repopt
