#include "training/steps.hpp"

#include <cmath>

#include "repopt/base/error.hpp"
#include "training/processes.hpp"

namespace repopt_cifar {

RunSteps RunSteps::of(const TrainOptions& options, std::size_t images) {
  RunSteps steps{.images = images, .batch_size = options.batch_size * Processes::size()};
  steps.per_epoch = (images + steps.batch_size - 1) / steps.batch_size;
  steps.schedule = {.lr = *options.lr,
                    .warmup_steps = std::size_t(std::lround(options.warmup_epochs * double(steps.per_epoch))),
                    .total_steps = options.epochs * steps.per_epoch};
  const std::size_t last = images % steps.batch_size;
  repopt::require(last == 0 || last >= 2 * Processes::size(), "--batch-size ", options.batch_size, " leaves ", last,
                  " of ", images, " pictures for the last batch; batch norm needs 2, in each process");
  repopt::require(steps.schedule.warmup_steps < steps.total(), "--epochs ", options.epochs, " on ", images,
                  " pictures, in batches of ", steps.batch_size, " by --batch-size, make ", steps.total(),
                  " steps in all, and --warmup-epochs ", options.warmup_epochs, " takes ", steps.schedule.warmup_steps,
                  " of them, which leaves none: choose a smaller --batch-size, more --epochs or fewer --warmup-epochs");
  return steps;
}

}  // namespace repopt_cifar
