// AdamMoments: two moments of the gradient. AdamFamily: the state, the checks and the visitors of Adam, AdamW and LAMB.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/optim/rules/option_checks.hpp"

namespace repopt {

/// The state that a parameter keeps from step to step. Each moment is as long as the weight and in its layout; it is
/// empty before the first step.
template <class T>
struct AdamMoments {
  std::vector<T> exp_avg;         ///< m
  std::vector<T> exp_avg_sq;      ///< v
  std::vector<T> max_exp_avg_sq;  ///< the largest v so far; only with amsgrad
  std::size_t step = 0;           ///< number of steps taken

  /// Begins a step on `size` weights: allocates the moments and counts the step. Changes nothing if there is not enough
  /// memory.
  void begin_step(std::size_t size, bool amsgrad) {
    exp_avg.reserve(size);
    exp_avg_sq.reserve(size);
    if (amsgrad) max_exp_avg_sq.resize(size);
    exp_avg.resize(size);
    exp_avg_sq.resize(size);
    ++step;
  }

  /// Says in words how a loaded state contradicts itself. The text is empty if steps can leave such a state.
  std::string fault() const {
    if (step == 0 && !max_exp_avg_sq.empty())
      return concat("step is 0, max_exp_avg_sq has ", max_exp_avg_sq.size(), " elements");
    if (exp_avg.empty() == (step == 0) && exp_avg_sq.empty() == (step == 0)) return {};
    return concat("step is ", step, ", exp_avg has ", exp_avg.size(), " elements, exp_avg_sq has ", exp_avg_sq.size());
  }

  /// Calls visitor(name, member) for each member, as UpdateRule requires.
  static constexpr void visit(auto& state, auto visitor) {
    visitor("exp_avg", state.exp_avg);
    visitor("exp_avg_sq", state.exp_avg_sq);
    visitor("max_exp_avg_sq", state.max_exp_avg_sq);
    visitor("step", state.step);
  }
};

/// The memory of the moments, wherever it is. Each span is as long as the weight and in its layout.
template <class T>
struct AdamMomentSpans {
  std::span<T> exp_avg;         ///< m
  std::span<T> exp_avg_sq;      ///< v
  std::span<T> max_exp_avg_sq;  ///< the largest v so far; empty without amsgrad
};

/// The base of Adam, AdamW and LAMB: their state, the checks of their options, and the visitors that UpdateRule
/// requires.
struct AdamFamily {
  /// The state that a parameter keeps from step to step: moments of the gradient; in Adam, of the decayed one.
  template <class T>
  using State = AdamMoments<T>;

  /// Throws std::invalid_argument for options that torch.optim.Adam refuses or that are not finite.
  static void validate(const auto& options) {
    require_not_negative("lr", options.lr);
    require_betas(options.betas);
    require_not_negative("eps", options.eps);
    require_not_negative("weight_decay", options.weight_decay);
  }

  /// Required by UpdateRule.
  /// @{
  static std::string state_fault(const auto& state) { return state.fault(); }

  static constexpr void visit_options(auto& options, auto visit) {
    visit("lr", options.lr);
    visit("beta1", options.betas[0]);
    visit("beta2", options.betas[1]);
    visit("eps", options.eps);
    visit("weight_decay", options.weight_decay);
    if constexpr (requires { options.amsgrad; }) visit("amsgrad", options.amsgrad);
  }

  template <class S>
  static constexpr void visit_state(S& state, auto visit) {
    S::visit(state, visit);
  }
  /// @}
};

/// The bias corrections of a step: m^ = m / (1 - beta1^t), and sqrt(v^) = sqrt(v) / sqrt(1 - beta2^t).
struct BiasCorrection {
  double moment;  ///< factor of m
  double root;    ///< factor of sqrt(v)

  /// `step` is counted from 1.
  BiasCorrection(const auto& options, std::size_t step)
      : moment(1 / (1 - std::pow(options.betas[0], double(step)))),
        root(1 / std::sqrt(1 - std::pow(options.betas[1], double(step)))) {}
};

}  // namespace repopt
