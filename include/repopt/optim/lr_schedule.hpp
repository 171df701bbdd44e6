// Learning-rate schedules: pure functions of the step (or, if you count in epochs, of the epoch), counted from 0.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

#include "repopt/core/error.hpp"

namespace repopt {

/// torch.optim.lr_scheduler.ConstantLR with factor 1: always `lr`.
struct ConstantLr {
  double lr = 0.1;

  double operator()(std::size_t) const { return lr; }
};

/// torch.optim.lr_scheduler.StepLR: lr * gamma^(step / step_size).
struct StepLr {
  double lr = 0.1;
  std::size_t step_size = 30;  ///< throws std::invalid_argument if 0
  double gamma = 0.1;

  double operator()(std::size_t step) const {
    require(step_size > 0, "step_size must be positive, it is ", step_size);
    return lr * std::pow(gamma, double(step / step_size));
  }
};

/// Linear warm-up, then a half cosine. Step s of the warm-up runs at lr * (s + 1) / warmup_steps; the
/// rest falls from `lr` towards `final_lr`, which total_steps and every later step gets.
struct WarmupCosineLr {
  double lr = 0.1;
  std::size_t warmup_steps = 0, total_steps = 1;  ///< throws std::invalid_argument unless warmup_steps < total_steps
  double final_lr = 0;

  double operator()(std::size_t step) const {
    require(warmup_steps < total_steps, "warmup_steps is ", warmup_steps, ", total_steps is ", total_steps);
    if (step < warmup_steps) return lr * double(step + 1) / double(warmup_steps);
    if (step >= total_steps) return final_lr;
    const double progress = double(step - warmup_steps) / double(total_steps - warmup_steps);
    return final_lr + (lr - final_lr) * (1 + std::cos(std::numbers::pi * progress)) / 2;
  }
};

}  // namespace repopt
