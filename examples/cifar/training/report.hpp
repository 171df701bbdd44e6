// What a run reports: a line for each epoch, and the JSON object at the end.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "commands.hpp"
#include "data/pictures.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "training/metrics.hpp"
#include "training/run_file.hpp"
#include "training/steps.hpp"

namespace repopt_cifar {

/// What a finished run knows of itself, besides its options.
struct RunSummary {
  std::string_view optimizer;  ///< the name of the rule
  std::size_t parameters = 0;
  RunProgress progress;
  /// The training's processor time of an epoch, all threads together. Nothing if this process trained no step.
  std::optional<double> processor_seconds_per_epoch;
  std::optional<repopt::nn::ScaleDiagnostics> scales;  ///< how a search changed its scales
};

/// Prints the line of an epoch to stderr.
void print_epoch(const EpochMetrics& metrics, std::size_t epochs);

/// Prints what a search did to its scales, with a warning if they hardly moved.
void print_scales(const repopt::nn::ScaleDiagnostics& scales);

/// Returns the result of a run.
Json run_result(const TrainOptions& options, const PictureSets& pictures, const RunSteps& steps,
                const RunSummary& summary);

}  // namespace repopt_cifar
