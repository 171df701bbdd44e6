// Sgd: stochastic gradient descent with momentum, for a kernel that stands for a CSLA block.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/rules/option_checks.hpp"

namespace repopt {

/// torch.optim.SGD on GradMult * grad. The rule is linear in weight and gradient, so GradMult makes it exact. Weight
/// decay is not multiplied: the decay of W_i enters the kernel times s_i, just as W_i itself does.
struct Sgd {
  /// The arguments of torch.optim.SGD.
  struct Options {
    double lr = 1e-3;         ///< per step
    double momentum = 0;      ///< in [0, 1)
    double dampening = 0;     ///< a step adds (1 - dampening) times the gradient to the momentum buffer
    double weight_decay = 0;  ///< coupled: added to the gradient after the multiplication by GradMult
    bool nesterov = false;    ///< needs momentum > 0 and dampening = 0
  };

  /// The state that a parameter keeps from step to step.
  template <class T>
  struct State {
    std::vector<T> momentum_buffer;  ///< in the weight's layout; empty before the first step with momentum
  };

  static constexpr std::string_view name = "sgd";  ///< the rule's name in saved state

  /// Throws std::invalid_argument for options that torch.optim.SGD refuses, for momentum >= 1 and for numbers that are
  /// not finite. lr = 0 is legal, because a warm-up may start there.
  static void validate(const Options& options) {
    require_not_negative("lr", options.lr);
    require(options.momentum >= 0 && options.momentum < 1, "momentum must be in [0, 1), it is ", options.momentum);
    require(std::isfinite(options.dampening), "dampening must be finite, it is ", options.dampening);
    require_not_negative("weight_decay", options.weight_decay);
    require(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
            "nesterov needs momentum > 0 and dampening = 0, they are ", options.momentum, " and ", options.dampening);
  }

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
  /// KernelStream<T>, or a PlainStream<T> for an ordinary parameter. `momentum_buffer` is as long as the weight and in
  /// its layout; it is not used if options.momentum is 0. Before the first step with momentum it must hold zeros. That
  /// step is the one with `is_first_step`: the gradient enters the buffer undampened, as in torch. Throws
  /// std::invalid_argument, before it changes anything, if a size is wrong.
  template <class T>
  static void apply(std::span<T> weight, std::span<const T> grad, T grad_scale, const auto& stream,
                    std::span<T> momentum_buffer, bool is_first_step, const Options& options) {
    require_as_long("grad", grad.size(), weight.size());
    if (options.momentum != 0) require_as_long("momentum_buffer", momentum_buffer.size(), weight.size());
    const T lr = T(options.lr), momentum = T(options.momentum), weight_decay = T(options.weight_decay);
    const T new_part = T(1 - (is_first_step ? 0 : options.dampening));
    const T gradient_part = T(options.nesterov ? options.lr : 0);
    const T buffer_part = T(options.nesterov ? options.lr * options.momentum : options.lr);
    T* const buffer = options.momentum != 0 ? momentum_buffer.data() : nullptr;

    const auto update_chunk = [=, &stream](std::size_t first, std::size_t count) {
      const T* const g = grad.data() + first;
      T* const w = weight.data() + first;
      T* const b = buffer ? buffer + first : nullptr;
      stream.with_grad_mult(first, count, [=](const auto m) {
        const auto without_momentum = [=](std::size_t k) {
          w[k] -= lr * (m[k] * (grad_scale * g[k]) + weight_decay * w[k]);
        };
        const auto with_momentum = [=](std::size_t k) {
          const T d = m[k] * (grad_scale * g[k]) + weight_decay * w[k];
          b[k] = momentum * b[k] + new_part * d;
          w[k] -= gradient_part * d + buffer_part * b[k];
        };
        if (b)
          for_each_independent(count, with_momentum);
        else
          for_each_independent(count, without_momentum);
      });
    };
    for_each_chunk(weight.size(), update_chunk, grad.data(), weight.data(), buffer ? buffer : weight.data());
  }

  /// Required by UpdateRule.
  /// @{
  static constexpr void visit_options(auto& options, auto visit) {
    visit("lr", options.lr);
    visit("momentum", options.momentum);
    visit("dampening", options.dampening);
    visit("weight_decay", options.weight_decay);
    visit("nesterov", options.nesterov);
  }

  static constexpr void visit_state(auto& state, auto visit) { visit("momentum_buffer", state.momentum_buffer); }
  /// @}

 private:
  template <class T>
  static void take_step(std::span<T> weight, std::span<const T> grad, T grad_scale, const auto& stream, State<T>& state,
                        const Options& options) {
    const bool is_first_step = state.momentum_buffer.empty();
    if (options.momentum != 0 && is_first_step) state.momentum_buffer.assign(weight.size(), T(0));
    apply(weight, grad, grad_scale, stream, std::span<T>(state.momentum_buffer), is_first_step, options);
  }
};

}  // namespace repopt
