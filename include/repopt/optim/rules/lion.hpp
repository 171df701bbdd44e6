// Lion: steps of constant size in the direction of the momentum's sign, for a kernel that stands for a CSLA block.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/rules/option_checks.hpp"

namespace repopt {

/// Lion (arXiv 2302.06675, algorithm 2) for the branches of a kernel, exact. Branch i sees the gradient s_i * g, so its
/// momentum is s_i * m. It moves the kernel by s_i * sign(s_i * c) = |s_i| * sign(c):
///
///     c = beta1 * m + (1 - beta1) * g
///     weight -= lr * (sum_i embed_i(|s_i|) * sign(c) + weight_decay * weight)
///     m = beta2 * m + (1 - beta2) * g
///
/// Here m is the momentum of the raw gradient g.
struct Lion {
  /// The options, named like the arguments of torch.optim.AdamW.
  struct Options {
    double lr = 1e-4;                        ///< per step; about a tenth of AdamW's
    std::array<double, 2> betas{0.9, 0.99};  ///< in [0, 1): the decay rates of m in c and in the new m
    double weight_decay = 0;                 ///< decoupled: a step multiplies the weight by 1 - lr * weight_decay
  };

  /// The state that a parameter keeps from step to step.
  template <class T>
  struct State {
    std::vector<T> exp_avg;  ///< m, in the weight's layout; empty before the first step
  };

  static constexpr std::string_view name = "lion";  ///< the rule's name in saved state

  /// Throws std::invalid_argument for an option that is negative or not finite, and for betas outside [0, 1).
  static void validate(const Options& options) {
    require_not_negative("lr", options.lr);
    require_betas(options.betas);
    require_not_negative("weight_decay", options.weight_decay);
  }

  /// Takes one step on an ordinary parameter. The gradient is `grad`, dL/dweight, times `grad_scale`.
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, State<T>& state,
                     const Options& options) {
    apply(weight, grad, grad_scale, PlainStream<T>(), state, options);
  }

  /// The same for a kernel that stands for stream.block().
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    apply(weight, grad, grad_scale, stream, state, options);
  }

  /// Required by UpdateRule.
  /// @{
  static constexpr void visit_options(auto& options, auto visit) {
    visit("lr", options.lr);
    visit("beta1", options.betas[0]);
    visit("beta2", options.betas[1]);
    visit("weight_decay", options.weight_decay);
  }

  static constexpr void visit_state(auto& state, auto visit) { visit("exp_avg", state.exp_avg); }
  /// @}

 private:
  template <class T>
  static void apply(std::span<T> weight, std::span<const T> grad, T grad_scale, const auto& stream, State<T>& state,
                    const Options& options) {
    state.exp_avg.resize(weight.size());
    const T lr = T(options.lr), decay = T(1 - options.lr * options.weight_decay);
    const T beta1 = T(options.betas[0]), beta2 = T(options.betas[1]);
    const T new_part1 = T(1 - options.betas[0]), new_part2 = T(1 - options.betas[1]);
    T* const exp_avg = state.exp_avg.data();

    const auto update_chunk = [=, &stream](std::size_t first, std::size_t count) {
      T sizes[max_chunk];
      stream.sum_over_branches(first, std::span<T>(sizes, count), [](T s) { return std::abs(s); });
      const T* const size = sizes;
      const T* const g = grad.data() + first;
      T* const w = weight.data() + first;
      T* const m = exp_avg + first;
      for_each_independent(count, [=](std::size_t k) {
        const T scaled = grad_scale * g[k], c = beta1 * m[k] + new_part1 * scaled;
        const T sign = c > 0 ? T(1) : c < 0 ? T(-1) : c;  // c is 0 or NaN here, and a NaN must reach the weight
        w[k] = decay * w[k] - lr * (size[k] * sign);
        m[k] = beta2 * m[k] + new_part2 * scaled;
      });
    };
    for_each_chunk(weight.size(), update_chunk, grad.data(), weight.data(), exp_avg);
  }
};

}  // namespace repopt
