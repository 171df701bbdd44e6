// AdamW: torch::optim::AdamW for kernels that stand for CSLA blocks.
#pragma once

#include <torch/optim/adamw.h>
#include <torch/types.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "repopt/base/error.hpp"
#include "repopt/libtorch/dense_memory.hpp"
#include "repopt/libtorch/tensor_block.hpp"
#include "repopt/optim/rules/adamw.hpp"

namespace repopt::libtorch {

/// torch::optim::AdamW, exact in sign and eps: the rule of repopt::AdamW on tensors. The state holds the moments
/// of the raw gradient.
struct AdamW {
  /// LibTorch's own types.
  /// @{
  using Options = torch::optim::AdamWOptions;
  using State = torch::optim::AdamWParamState;
  /// @}

  static constexpr std::string_view name = repopt::AdamW::name;  ///< the rule's name in archives

  /// Throws std::invalid_argument for options that repopt::AdamW::validate() refuses.
  static void validate(const Options& options) { repopt::AdamW::validate(core_options(options)); }

  /// Takes one step: changes `weight`, which stands for `block`, and `state`. The gradient is `grad`, dL/dweight, times
  /// `grad_scale`; `grad` has the sizes of `weight` and is not changed. Where visit_dense() allows it, the loop is
  /// repopt::AdamW's; everywhere else the step consists of tensor operations.
  static void update(Tensor weight, const Tensor& grad, double grad_scale, TensorBlock& block, State& state,
                     const Options& options) {
    state.step(state.step() + 1);
    const bool is_dense =
        visit_dense(weight, grad, block, [&]<class T>(const DenseMemory<T>& memory, const auto& stream) {
          const auto largest = options.amsgrad() ? memory.buffer(state.max_exp_avg_sq()) : std::span<T>();
          const AdamMomentSpans<T> moments{memory.buffer(state.exp_avg()), memory.buffer(state.exp_avg_sq()), largest};
          repopt::AdamW::apply(memory.weight(), memory.grad(), T(grad_scale), stream, moments,
                               std::size_t(state.step()), core_options(options));
        });
    if (!is_dense) update_tensors(weight, grad_scale == 1 ? grad : grad * grad_scale, block, state, options);
  }

  /// Says in words how a loaded state contradicts itself. The text is empty if steps can leave such a state.
  static std::string state_fault(const State& state) {
    const bool has_stepped = state.step() > 0;
    if (state.step() >= 0 && state.exp_avg().defined() == has_stepped && state.exp_avg_sq().defined() == has_stepped)
      return {};
    const auto presence = [](const Tensor& tensor) { return tensor.defined() ? "saved" : "missing"; };
    return concat("step is ", state.step(), ", exp_avg is ", presence(state.exp_avg()), ", exp_avg_sq is ",
                  presence(state.exp_avg_sq()));
  }

  /// Calls visit(name, tensor) with a reference to each tensor of the state; a tensor may be undefined.
  static void visit_buffers(State& state, auto visit) {
    visit("exp_avg", state.exp_avg());
    visit("exp_avg_sq", state.exp_avg_sq());
    visit("max_exp_avg_sq", state.max_exp_avg_sq());
  }

 private:
  static repopt::AdamW::Options core_options(const Options& options) {
    const auto& [beta1, beta2] = options.betas();
    return {.lr = options.lr(),
            .betas = {beta1, beta2},
            .eps = options.eps(),
            .weight_decay = options.weight_decay(),
            .amsgrad = options.amsgrad()};
  }

  static void update_tensors(Tensor weight, const Tensor& grad, const TensorBlock& block, State& state,
                             const Options& options) {
    const auto& [beta1, beta2] = options.betas();
    Tensor &m = state.exp_avg(), &v = state.exp_avg_sq(), &largest = state.max_exp_avg_sq();
    if (!m.defined()) m = torch::zeros_like(weight);
    if (!v.defined()) v = torch::zeros_like(weight);
    if (!largest.defined() && options.amsgrad()) largest = torch::zeros_like(weight);
    const double correction1 = 1 - std::pow(beta1, state.step()), correction2 = 1 - std::pow(beta2, state.step());

    m.mul_(beta1).add_(grad, 1 - beta1);
    v.mul_(beta2).addcmul_(grad, grad, 1 - beta2);
    if (options.amsgrad()) largest = largest.maximum(v);
    const Tensor root = (options.amsgrad() ? largest : v).sqrt() / std::sqrt(correction2);

    Tensor change = torch::zeros_like(weight);
    block.for_each_branch([&](const Tensor& s, auto at) {
      const Tensor magnitude = s.maximum(-s);  // |s|, because LibTorch 1.13 has no abs() for the meta device
      const Tensor is_zero = s.eq(0);          // added to the divisor, so that s = 0 with eps = 0 gives 0, not NaN
      at(change).addcdiv_(s.square() * at(m), magnitude * at(root) + options.eps() + is_zero);
    });
    weight.mul_(1 - options.lr() * options.weight_decay()).add_(change, -options.lr() / correction1);
  }
};

}  // namespace repopt::libtorch
