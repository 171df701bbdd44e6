// Learning-rate schedules: pure functions of the step (or, if you count in epochs, of the epoch), counted from 0.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

#include "repopt/base/error.hpp"

namespace repopt {

/// torch.optim.lr_scheduler.ConstantLR with factor 1: always `lr`.
struct ConstantLr {
  double lr = 0.1;  ///< of every step

  /// The learning rate, whatever the step.
  double operator()(std::size_t) const { return lr; }
};

/// torch.optim.lr_scheduler.StepLR: lr * gamma^(step / step_size).
struct StepLr {
  double lr = 0.1;             ///< of the first step
  std::size_t step_size = 30;  ///< steps from one fall to the next
  double gamma = 0.1;          ///< factor of a fall

  /// The learning rate of a step, counted from 0. Throws std::invalid_argument if step_size is 0.
  double operator()(std::size_t step) const {
    require(step_size > 0, "step_size must be positive, it is ", step_size);
    const std::size_t falls = step / step_size;
    return lr * std::pow(gamma, double(falls));
  }
};

/// Linear warm-up, then a half cosine. Step s of the warm-up runs at lr * (s + 1) / warmup_steps; the
/// rest falls from `lr` towards `final_lr`, which total_steps and every later step gets.
struct WarmupCosineLr {
  double lr = 0.1;               ///< the highest, at the end of the warm-up
  std::size_t warmup_steps = 0;  ///< 0: none
  std::size_t total_steps = 1;   ///< the warm-up's among them
  double final_lr = 0;           ///< of all steps from total_steps on

  /// The learning rate of a step, counted from 0. Throws std::invalid_argument unless warmup_steps < total_steps.
  double operator()(std::size_t step) const {
    require(warmup_steps < total_steps, "warmup_steps is ", warmup_steps, ", total_steps is ", total_steps);
    if (step < warmup_steps) return lr * double(step + 1) / double(warmup_steps);
    if (step >= total_steps) return final_lr;
    const double progress = double(step - warmup_steps) / double(total_steps - warmup_steps);
    return final_lr + (lr - final_lr) * (1 + std::cos(std::numbers::pi * progress)) / 2;
  }
};

}  // namespace repopt
