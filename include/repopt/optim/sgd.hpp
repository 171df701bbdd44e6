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
    const GradMult<T> grad_mult(block);
    const T lr = T(options.lr), momentum = T(options.momentum), weight_decay = T(options.weight_decay);
    const bool first_step = state.momentum_buffer.empty();  // torch: the buffer starts as the gradient, undampened
    const T new_part = T(1 - (first_step ? 0 : options.dampening));
    if (momentum != 0 && first_step) state.momentum_buffer.resize(weight.size());

    block.for_each_chunk([&](std::size_t first, std::span<T> chunk) {
      grad_mult.generate(first, chunk);
      const T* __restrict m = chunk.data();
      const T* __restrict g = grad.data() + first;
      T* __restrict w = weight.data() + first;
      if (momentum == 0) {
        for (std::size_t k = 0; k < chunk.size(); ++k) w[k] -= lr * (m[k] * (grad_scale * g[k]) + weight_decay * w[k]);
        return;
      }
      T* __restrict b = state.momentum_buffer.data() + first;
      const T gradient_part = options.nesterov ? T(1) : T(0), buffer_part = options.nesterov ? momentum : T(1);
      for (std::size_t k = 0; k < chunk.size(); ++k) {
        const T d = m[k] * (grad_scale * g[k]) + weight_decay * w[k];
        b[k] = momentum * b[k] + new_part * d;
        w[k] -= lr * (gradient_part * d + buffer_part * b[k]);
      }
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
};

}  // namespace repopt
