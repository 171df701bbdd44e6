// Sgd: torch::optim::SGD for kernels that stand for CSLA blocks.
#pragma once

#include <torch/optim/sgd.h>
#include <torch/types.h>

#include <string_view>

#include "repopt/libtorch/tensor_block.hpp"
#include "repopt/optim/rules/sgd.hpp"

namespace repopt::libtorch {

/// torch::optim::SGD on GradMult * grad: the rule of repopt::Sgd in tensor operations.
struct Sgd {
  /// LibTorch's own types.
  /// @{
  using Options = torch::optim::SGDOptions;
  using State = torch::optim::SGDParamState;
  /// @}

  static constexpr std::string_view name = repopt::Sgd::name;  ///< the rule's name in archives

  /// Throws std::invalid_argument for options that repopt::Sgd::validate() refuses.
  static void validate(const Options& options) {
    repopt::Sgd::validate({.lr = options.lr(),
                           .momentum = options.momentum(),
                           .dampening = options.dampening(),
                           .weight_decay = options.weight_decay(),
                           .nesterov = options.nesterov()});
  }

  /// Takes one step: changes `weight`, which stands for `block`, and `state`. `grad` is dL/dweight, has the sizes of
  /// `weight`, and is not changed.
  static void update(Tensor weight, const Tensor& grad, const TensorBlock& block, State& state,
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

  /// Calls visit(name, tensor) with a reference to each tensor of the state; a tensor may be undefined.
  static void visit_buffers(State& state, auto visit) { visit("momentum_buffer", state.momentum_buffer()); }
};

}  // namespace repopt::libtorch
