// Learning-rate schedules: pure functions of the step, counted from 0. You may count epochs instead of steps.
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

#include "repopt/base/error.hpp"

namespace repopt {

/// The same learning rate at every step: torch.optim.lr_scheduler.ConstantLR with factor 1.
struct ConstantLr {
  double lr = 0.1;  ///< the learning rate

  /// The learning rate of any step.
  double operator()(std::size_t) const { return lr; }
};

/// A learning rate that falls every step_size steps: lr * gamma^(step / step_size), where the division rounds down.
/// This is torch.optim.lr_scheduler.StepLR.
struct StepLr {
  double lr = 0.1;             ///< the first step's learning rate
  std::size_t step_size = 30;  ///< number of steps between two falls
  double gamma = 0.1;          ///< the factor of each fall

  /// The learning rate of a step, counted from 0. Throws std::invalid_argument if step_size is 0.
  double operator()(std::size_t step) const {
    require(step_size > 0, "step_size must be positive, it is ", step_size);
    const std::size_t falls = step / step_size;
    return lr * std::pow(gamma, double(falls));
  }
};

/// A linear warm-up, followed by half a cosine. Step s of the warm-up has the learning rate lr * (s + 1) /
/// warmup_steps. The rest falls from `lr` towards `final_lr`, which step total_steps and all later steps have.
struct WarmupCosineLr {
  double lr = 0.1;               ///< the highest learning rate, reached at the end of the warm-up
  std::size_t warmup_steps = 0;  ///< 0 for no warm-up
  std::size_t total_steps = 1;   ///< includes the steps of the warm-up
  double final_lr = 0;           ///< learning rate of step total_steps and all later ones

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
