// WarmupCosineLr: the cosine schedule with warm-up as a scheduler of torch::optim.
#pragma once

#include <torch/optim/optimizer.h>
#include <torch/optim/schedulers/lr_scheduler.h>

#include <cstddef>
#include <vector>

#include "repopt/optim/lr_schedule.hpp"

namespace repopt::libtorch {

/// repopt::WarmupCosineLr for any optimizer of torch::optim: a linear warm-up, followed by half a cosine. Each group
/// rises to the learning rate that it has when the schedule is made. Like torch.optim.lr_scheduler, the schedule sets
/// the first step's learning rate at once, and step() sets the next one's. Count epochs or steps of the optimizer, as
/// you like:
///
///     repopt::libtorch::WarmupCosineLr schedule(optimizer, {.warmup_steps = 5, .total_steps = 120});
///     for (...) {
///       ...
///       optimizer.step();
///       schedule.step();
///     }
///
/// To resume, make the schedule of a new optimizer with `first_step`, the number of steps that were taken. Then load
/// the optimizer's state. The optimizer must outlive the schedule.
class WarmupCosineLr : public torch::optim::LRScheduler {
 public:
  /// Options of the constructor.
  struct Options {
    std::size_t warmup_steps = 0;  ///< 0 for no warm-up
    std::size_t total_steps = 1;   ///< includes the steps of the warm-up
    double final_lr = 0;           ///< learning rate of step total_steps and all later ones, in all groups
    std::size_t first_step = 0;    ///< the step with which the schedule begins, counted from 0
  };

  /// Sets the learning rates of step `first_step`. Throws std::invalid_argument, and changes nothing, unless
  /// warmup_steps < total_steps.
  WarmupCosineLr(torch::optim::Optimizer& optimizer, const Options& options)
      : LRScheduler(optimizer), options_(options), highest_(get_current_lrs()) {
    step_count_ = unsigned(options.first_step);
    step();
  }

 private:
  std::vector<double> get_lrs() override {
    std::vector<double> lrs;
    for (const double lr : highest_)
      lrs.push_back(
          repopt::WarmupCosineLr{lr, options_.warmup_steps, options_.total_steps, options_.final_lr}(step_count_));
    return lrs;
  }

  Options options_;
  std::vector<double> highest_;  ///< by group
};

}  // namespace repopt::libtorch
