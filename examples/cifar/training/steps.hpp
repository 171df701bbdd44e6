// RunSteps: how a run's pictures make steps, and the learning rate of each step.
#pragma once

#include <cstddef>

#include "options.hpp"
#include "repopt/optim/lr_schedule.hpp"

namespace repopt_cifar {

/// The steps of a run.
struct RunSteps {
  std::size_t images = 0;             ///< pictures of an epoch
  std::size_t batch_size = 0;         ///< pictures of a step, of all processes
  std::size_t per_epoch = 0;          ///< the last step of an epoch takes the pictures that are left
  repopt::WarmupCosineLr schedule{};  ///< over the steps of the whole run

  /// The steps of a run on `images` training pictures. Throws std::invalid_argument if the last batch is too small for
  /// batch norm, or the warm-up is as long as the run.
  static RunSteps of(const TrainOptions& options, std::size_t images);

  /// The number of steps of the whole run.
  std::size_t total() const { return schedule.total_steps; }
};

}  // namespace repopt_cifar
