// AdamW: torch::optim::AdamW for a kernel that stands for a CSLA block.
#pragma once

#include <torch/optim/adamw.h>
#include <torch/types.h>

#include <cmath>
#include <string_view>

#include "repopt/base/error.hpp"
#include "repopt/libtorch/tensor_block.hpp"
#include "repopt/optim/rules/adamw.hpp"

namespace repopt::libtorch {

/// torch::optim::AdamW, exact in sign and eps, as repopt::AdamW says, in tensor operations; options and state are
/// torch's. The moments are those of the raw gradient.
struct AdamW {
  /// LibTorch's own.
  /// @{
  using Options = torch::optim::AdamWOptions;
  using State = torch::optim::AdamWParamState;
  /// @}

  static constexpr std::string_view name = repopt::AdamW::name;  ///< in archives

  /// Throws as repopt::AdamW::validate().
  static void validate(const Options& options) {
    const auto& [beta1, beta2] = options.betas();
    repopt::AdamW::validate({.lr = options.lr(),
                             .betas = {beta1, beta2},
                             .eps = options.eps(),
                             .weight_decay = options.weight_decay(),
                             .amsgrad = options.amsgrad()});
  }

  /// One step on `weight` by `grad`, dL/dweight, which is only read.
  static void update(Tensor weight, const Tensor& grad, const TensorBlock& block, State& state,
                     const Options& options) {
    const auto& [beta1, beta2] = options.betas();
    Tensor &m = state.exp_avg(), &v = state.exp_avg_sq(), &largest = state.max_exp_avg_sq();
    if (!m.defined()) m = torch::zeros_like(weight);
    if (!v.defined()) v = torch::zeros_like(weight);
    if (!largest.defined() && options.amsgrad()) largest = torch::zeros_like(weight);
    state.step(state.step() + 1);
    const double correction1 = 1 - std::pow(beta1, state.step()), correction2 = 1 - std::pow(beta2, state.step());

    m.mul_(beta1).add_(grad, 1 - beta1);
    v.mul_(beta2).addcmul_(grad, grad, 1 - beta2);
    if (options.amsgrad()) largest = largest.maximum(v);
    const Tensor root = (options.amsgrad() ? largest : v).sqrt() / std::sqrt(correction2);

    Tensor change = torch::zeros_like(weight);
    block.for_each_branch([&](const Tensor& s, auto at) {
      const Tensor magnitude = s.maximum(-s);  // |s|: in LibTorch 1.13 abs() knows no meta device
      const Tensor still = s.eq(0);            // a branch with s = 0 stands still, at eps = 0 too
      at(change).addcdiv_(s.square() * at(m), magnitude * at(root) + options.eps() + still);
    });
    weight.mul_(1 - options.lr() * options.weight_decay()).add_(change, -options.lr() / correction1);
  }

  /// Throws std::invalid_argument for a state that no number of steps leaves.
  static void validate_state(const State& state) {
    const bool moved = state.step() > 0;
    require(state.step() >= 0 && state.exp_avg().defined() == moved && state.exp_avg_sq().defined() == moved,
            "step is ", state.step(), ", exp_avg is ", state.exp_avg().defined() ? "there" : "missing",
            ", exp_avg_sq is ", state.exp_avg_sq().defined() ? "there" : "missing");
  }

  /// visit(name, tensor&) for each tensor of the state, defined or not.
  static void visit_buffers(State& state, auto visit) {
    visit("exp_avg", state.exp_avg());
    visit("exp_avg_sq", state.exp_avg_sq());
    visit("max_exp_avg_sq", state.max_exp_avg_sq());
  }
};

}  // namespace repopt::libtorch
