// AdamW: Adam with decoupled weight decay, for a kernel that stands for a CSLA block.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "repopt/base/parallel.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/rules/adam_moments.hpp"

namespace repopt {

/// torch.optim.AdamW for the branches of a kernel, exact in sign and eps. Branch i sees the gradient s_i * g, so its
/// moments are s_i * m and s_i^2 * v. It moves the kernel by s_i times its own update:
///
///     weight -= lr * sum_i embed_i( s_i^2 * m^ / (|s_i| * sqrt(v^) + eps) )
///
/// Here m and v are the moments of the raw gradient g. The weight is rounded once for each branch. The update is a sum
/// over the branches and not the product of a multiplier and an update, so GradMult is not used. This departs from
/// arXiv 2205.15242, whose code multiplies the update by sum_i embed_i(s_i): that is wrong for s_i < 0.
struct AdamW : AdamFamily {
  /// The arguments of torch.optim.AdamW.
  struct Options {
    double lr = 1e-3;                         ///< per step
    std::array<double, 2> betas{0.9, 0.999};  ///< in [0, 1): the decay rates of exp_avg and exp_avg_sq
    /// Added to |s_i| * sqrt(v^) in each branch. 0 is legal, but then a weight whose gradient was 0 in every step
    /// becomes NaN, as in torch.
    double eps = 1e-8;
    double weight_decay = 1e-2;  ///< decoupled: a step multiplies the weight by 1 - lr * weight_decay
    bool amsgrad = false;        ///< whether to divide by the largest second moment so far
  };

  static constexpr std::string_view name = "adamw";  ///< the rule's name in saved state

  /// Throws std::invalid_argument for options that torch.optim.AdamW refuses or that are not finite.
  static void validate(const Options& options) { AdamFamily::validate(options); }

  /// Takes one step on an ordinary parameter. The gradient is `grad`, dL/dweight, times `grad_scale`.
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, State<T>& state,
                     const Options& options) {
    take_step(weight, grad, grad_scale, PlainStream<T>(), state, options);
  }

  /// The same for a kernel that stands for stream.block().
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    take_step(weight, grad, grad_scale, stream, state, options);
  }

  /// Takes one step on the caller's own memory, such as another library's tensors. `stream` is the kernel's
  /// KernelStream<T>, or a PlainStream<T> for an ordinary parameter. `step` is the number of this step, counted from 1.
  /// Before the first step the moments must hold zeros. Throws std::invalid_argument, before it changes anything, if a
  /// size is wrong.
  template <class T>
  static void apply(std::span<T> weight, std::span<const T> grad, T grad_scale, const auto& stream,
                    const AdamMomentSpans<T>& moments, std::size_t step, const Options& options) {
    require_as_long("grad", grad.size(), weight.size());
    require_as_long("exp_avg", moments.exp_avg.size(), weight.size());
    require_as_long("exp_avg_sq", moments.exp_avg_sq.size(), weight.size());
    if (options.amsgrad) require_as_long("max_exp_avg_sq", moments.max_exp_avg_sq.size(), weight.size());
    const BiasCorrection correction(options, step);
    const T beta1 = T(options.betas[0]), beta2 = T(options.betas[1]), eps = T(options.eps);
    const T new_part1 = T(1 - options.betas[0]), new_part2 = T(1 - options.betas[1]);  // rounded once, as in torch
    const T decay = T(1 - options.lr * options.weight_decay);
    const T step_size = T(options.lr * correction.moment), root_correction = T(correction.root);

    T* const exp_avg = moments.exp_avg.data();
    T* const exp_avg_sq = moments.exp_avg_sq.data();
    T* const max_exp_avg_sq = options.amsgrad ? moments.max_exp_avg_sq.data() : nullptr;

    const auto corrected_root = [=](T second_moment) { return std::sqrt(second_moment) * root_correction; };
    const auto update_chunk = [=, &stream](std::size_t first, std::size_t count) {
      T roots[max_chunk];
      T* const root = roots;
      T* const w = weight.data() + first;
      T* const m = exp_avg + first;
      T* const v = exp_avg_sq + first;
      const T* const g = grad.data() + first;
      for_each_independent(count, [=](std::size_t k) {
        const T scaled = grad_scale * g[k];
        // Load all values before the first store: arrays that are a multiple of 4096 bytes apart seem to overlap to the
        // processor, and a load would wait for the store.
        const T first_moment = beta1 * m[k] + new_part1 * scaled;
        const T second_moment = beta2 * v[k] + new_part2 * (scaled * scaled);
        const T decayed = w[k] * decay;
        m[k] = first_moment;
        v[k] = second_moment;
        root[k] = corrected_root(second_moment);
        w[k] = decayed;
      });
      if (max_exp_avg_sq) {
        T* const largest = max_exp_avg_sq + first;
        for_each_independent(count, [=](std::size_t k) {
          largest[k] = std::max(largest[k], v[k]);
          root[k] = corrected_root(largest[k]);
        });
      }
      stream.for_each_branch_scale(first, count, [=](T s, std::size_t k) {
        // Keeps the divisor above 0 for s = 0, so that such a branch adds 0 even if eps = 0.
        const T still = s == 0 ? T(1) : T(0);
        w[k] -= step_size * (s * s * m[k] / (std::abs(s) * root[k] + eps + still));
      });
    };
    for_each_chunk(weight.size(), update_chunk, grad.data(), weight.data(), exp_avg, exp_avg_sq,
                   max_exp_avg_sq ? max_exp_avg_sq : exp_avg);
  }

 private:
  template <class T>
  static void take_step(std::span<T> weight, std::span<const T> grad, T grad_scale, const auto& stream, State<T>& state,
                        const Options& options) {
    state.begin_step(weight.size(), options.amsgrad);
    const AdamMomentSpans<T> moments{state.exp_avg, state.exp_avg_sq, state.max_exp_avg_sq};
    apply(weight, grad, grad_scale, stream, moments, state.step, options);
  }
};

}  // namespace repopt
