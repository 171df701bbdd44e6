// Sgd: stochastic gradient descent with momentum, for a kernel that stands for a CSLA block.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/core/error.hpp"
#include "repopt/core/grad_mult.hpp"

namespace repopt {

/// torch.optim.SGD on GradMult * grad. The rule is linear in weight and gradient, so GradMult makes it exact; weight
/// decay is not multiplied, since the decay of W_i reaches the kernel through s_i once, as W_i itself does.
struct Sgd {
  struct Options {
    double lr = 1e-3;  ///< per step
    double momentum = 0, dampening = 0, weight_decay = 0;
    bool nesterov = false;
  };

  template <class T>
  struct State {
    std::vector<T> momentum_buffer;  ///< as the weight; empty before the first step with momentum
  };

  static constexpr std::string_view name = "sgd";

  /// Throws std::invalid_argument for what torch.optim.SGD refuses, momentum >= 1 and anything not finite. lr = 0 is
  /// legal: a warm-up may start there.
  static void validate(const Options& options) {
    require(std::isfinite(options.lr) && options.lr >= 0, "lr must be finite and >= 0, it is ", options.lr);
    require(options.momentum >= 0 && options.momentum < 1, "momentum must be in [0, 1), it is ", options.momentum);
    require(std::isfinite(options.dampening), "dampening must be finite, it is ", options.dampening);
    require(std::isfinite(options.weight_decay) && options.weight_decay >= 0,
            "weight_decay must be finite and >= 0, it is ", options.weight_decay);
    require(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
            "nesterov needs momentum > 0 and dampening = 0, they are ", options.momentum, " and ", options.dampening);
  }

  /// One step on `weight` (block.target().size() elements) by `grad`, dL/dweight, times `grad_scale`.
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const CslaBlock<T>& block,
                     State<T>& state, const Options& options) {
    const bool first_step = state.momentum_buffer.empty();  // torch: the buffer starts as the gradient, undampened
    if (options.momentum != 0) state.momentum_buffer.resize(weight.size());
    const Factors<T> factors{.grad_scale = grad_scale,
                             .lr = T(options.lr),
                             .momentum = T(options.momentum),
                             .new_part = T(1 - (first_step ? 0 : options.dampening)),
                             .weight_decay = T(options.weight_decay),
                             .gradient_part = T(options.nesterov ? 1 : 0),
                             .buffer_part = T(options.nesterov ? options.momentum : 1)};
    T* const buffer = options.momentum != 0 ? state.momentum_buffer.data() : nullptr;

    block.for_each_chunk([=, grad_mult = GradMult<T>(block)](std::size_t first, std::span<T> chunk) {
      grad_mult.generate(first, chunk);
      if (buffer)
        step(chunk.size(), chunk.data(), grad.data() + first, buffer + first, weight.data() + first, factors);
      else
        step(chunk.size(), chunk.data(), grad.data() + first, weight.data() + first, factors);
    });
  }

  static constexpr void visit_options(auto& options, auto visit) {
    visit("lr", options.lr);
    visit("momentum", options.momentum);
    visit("dampening", options.dampening);
    visit("weight_decay", options.weight_decay);
    visit("nesterov", options.nesterov);
  }

  static constexpr void visit_state(auto& state, auto visit) { visit("momentum_buffer", state.momentum_buffer); }

 private:
  /// What a step multiplies with.
  template <class T>
  struct Factors {
    T grad_scale, lr, momentum, new_part, weight_decay, gradient_part, buffer_part;
  };

  /// The step on weights w by the gradient g with GradMult m and the momentum buffer b. A function of its own, so that
  /// compilers know what does not alias, and vectorise.
  template <class T>
  static void step(std::size_t size, const T* __restrict m, const T* __restrict g, T* __restrict b, T* __restrict w,
                   Factors<T> f) {
    for (std::size_t k = 0; k < size; ++k) {
      const T d = m[k] * (f.grad_scale * g[k]) + f.weight_decay * w[k];
      b[k] = f.momentum * b[k] + f.new_part * d;
      w[k] -= f.lr * (f.gradient_part * d + f.buffer_part * b[k]);
    }
  }

  /// The same without momentum.
  template <class T>
  static void step(std::size_t size, const T* __restrict m, const T* __restrict g, T* __restrict w, Factors<T> f) {
    for (std::size_t k = 0; k < size; ++k) w[k] -= f.lr * (m[k] * (f.grad_scale * g[k]) + f.weight_decay * w[k]);
  }
};

}  // namespace repopt
