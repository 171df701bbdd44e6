// Sgd: torch::optim::SGD for kernels that stand for CSLA blocks.
#pragma once

#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <span>
#include <string_view>

#include "repopt/libtorch/dense_memory.hpp"
#include "repopt/libtorch/tensor_block.hpp"
#include "repopt/optim/rules/sgd.hpp"

namespace repopt::libtorch {

/// torch::optim::SGD on GradMult * grad: the rule of repopt::Sgd on tensors.
struct Sgd {
  /// LibTorch's own types.
  /// @{
  using Options = torch::optim::SGDOptions;
  using State = torch::optim::SGDParamState;
  /// @}

  static constexpr std::string_view name = repopt::Sgd::name;  ///< the rule's name in archives

  /// Throws std::invalid_argument for options that repopt::Sgd::validate() refuses.
  static void validate(const Options& options) { repopt::Sgd::validate(core_options(options)); }

  /// Takes one step: changes `weight`, which stands for `block`, and `state`. The gradient is `grad`, dL/dweight, times
  /// `grad_scale`; `grad` has the sizes of `weight` and is not changed. Where visit_dense() allows it, the loop is
  /// repopt::Sgd's; everywhere else the step consists of tensor operations.
  static void update(Tensor weight, const Tensor& grad, double grad_scale, TensorBlock& block, State& state,
                     const Options& options) {
    const bool is_dense =
        visit_dense(weight, grad, block, [&]<class T>(const DenseMemory<T>& memory, const auto& stream) {
          const bool is_first_step = !state.momentum_buffer().defined();
          const auto buffer = options.momentum() != 0 ? memory.buffer(state.momentum_buffer()) : std::span<T>();
          repopt::Sgd::apply(memory.weight(), memory.grad(), T(grad_scale), stream, buffer, is_first_step,
                             core_options(options));
        });
    if (!is_dense) update_tensors(weight, grad_scale == 1 ? grad : grad * grad_scale, block, state, options);
  }

  /// Calls visit(name, tensor) with a reference to each tensor of the state; a tensor may be undefined.
  static void visit_buffers(State& state, auto visit) { visit("momentum_buffer", state.momentum_buffer()); }

 private:
  static repopt::Sgd::Options core_options(const Options& options) {
    return {.lr = options.lr(),
            .momentum = options.momentum(),
            .dampening = options.dampening(),
            .weight_decay = options.weight_decay(),
            .nesterov = options.nesterov()};
  }

  static void update_tensors(Tensor weight, const Tensor& grad, const TensorBlock& block, State& state,
                             const Options& options) {
    Tensor d = torch::zeros_like(grad);
    block.for_each_branch([&](const Tensor& s, auto at) { at(d).addcmul_(s.square(), at(grad)); });
    if (options.weight_decay() != 0) d.add_(weight, options.weight_decay());
    if (options.momentum() != 0) {
      Tensor& buffer = state.momentum_buffer();
      if (buffer.defined())
        buffer.mul_(options.momentum()).add_(d, 1 - options.dampening());
      else
        buffer = d.clone();
      d = options.nesterov() ? d.add_(buffer, options.momentum()) : buffer;
    }
    weight.add_(d, -options.lr());
  }
};

}  // namespace repopt::libtorch
