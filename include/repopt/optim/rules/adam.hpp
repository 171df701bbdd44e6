// Adam: Adam with coupled weight decay, for ordinary parameters and folded branches.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "repopt/base/parallel.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/rules/adam_moments.hpp"

namespace repopt {

/// torch.optim.Adam. The decayed gradient grad + weight_decay * weight enters both moments, so a step depends on the
/// weights of each branch. Therefore no update of a kernel W' gives the same training: train branches folded, by
/// FoldedKernel.
struct Adam : AdamFamily {
  /// The arguments of torch.optim.Adam.
  struct Options {
    double lr = 1e-3;                         ///< per step
    std::array<double, 2> betas{0.9, 0.999};  ///< in [0, 1): the decay rates of exp_avg and exp_avg_sq
    /// Added to sqrt(v^). 0 is legal, but then a weight whose gradient was 0 in every step becomes NaN, as in torch.
    double eps = 1e-8;
    double weight_decay = 0;  ///< coupled: added to the gradient
    bool amsgrad = false;     ///< whether to divide by the largest second moment so far
  };

  static constexpr std::string_view name = "adam";  ///< the rule's name in saved state

  /// Throws std::invalid_argument for options that torch.optim.Adam refuses or that are not finite.
  static void validate(const Options& options) { AdamFamily::validate(options); }

  /// Takes one step on an ordinary parameter. The gradient is `grad`, dL/dweight, times `grad_scale`.
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, State<T>& state,
                     const Options& options) {
    state.begin_step(weight.size(), options.amsgrad);
    const BiasCorrection correction(options, state.step);
    const T beta1 = T(options.betas[0]), beta2 = T(options.betas[1]), eps = T(options.eps);
    const T new_part1 = T(1 - options.betas[0]), new_part2 = T(1 - options.betas[1]);
    const T weight_decay = T(options.weight_decay);
    const T step_size = T(options.lr * correction.moment), root_correction = T(correction.root);
    T* const exp_avg = state.exp_avg.data();
    T* const exp_avg_sq = state.exp_avg_sq.data();
    T* const max_exp_avg_sq = options.amsgrad ? state.max_exp_avg_sq.data() : nullptr;

    const auto update_chunk = [=](std::size_t first, std::size_t count) {
      const T* const g = grad.data() + first;
      T* const w = weight.data() + first;
      T* const m = exp_avg + first;
      T* const v = exp_avg_sq + first;
      T* const largest = max_exp_avg_sq ? max_exp_avg_sq + first : v;
      for_each_independent(count, [=](std::size_t k) {
        const T d = grad_scale * g[k] + weight_decay * w[k];
        m[k] = beta1 * m[k] + new_part1 * d;
        v[k] = beta2 * v[k] + new_part2 * (d * d);
      });
      if (max_exp_avg_sq) for_each_independent(count, [=](std::size_t k) { largest[k] = std::max(largest[k], v[k]); });
      for_each_independent(
          count, [=](std::size_t k) { w[k] -= step_size * (m[k] / (std::sqrt(largest[k]) * root_correction + eps)); });
    };
    for_each_chunk(weight.size(), update_chunk, grad.data(), weight.data(), exp_avg, exp_avg_sq,
                   max_exp_avg_sq ? max_exp_avg_sq : exp_avg);
  }
};

}  // namespace repopt
