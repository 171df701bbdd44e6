// What the page shows of each finished run, in small files beside study.csv. With them the page needs no run's folder.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "options.hpp"
#include "repopt/core/scales.hpp"
#include "study/plan.hpp"
#include "study/results.hpp"

namespace repopt_cifar::study {

/// A run after one of its epochs: a line of curves.csv.
struct CurvePoint {
  std::size_t epoch = 0;  ///< counted from 1
  double train_loss = 0, test_loss = 0, test_accuracy = 0;
  double processor_seconds = 0;  ///< time of training since the run's start, summed over all threads
};

/// The deployed kernel of a block: a line of kernels.csv.
struct KernelStatistics {
  std::string block;
  std::size_t weights = 0;  ///< number of elements
  double deviation = 0;     ///< standard deviation
  double largest = 0;       ///< largest absolute value
  /// The number of weights in each equal part of [-range, range] * deviation. Empty if kernels.csv is from an older
  /// version, which measured one block of each network.
  std::vector<std::size_t> histogram;

  static constexpr double range = 4;
  static constexpr std::size_t bins = 64;
};

/// The records of a run.
struct RunRecords {
  std::vector<CurvePoint> curve;
  std::vector<KernelStatistics> kernels;
  repopt::Scales<float> scales;  ///< the scales that a Hyper-Search found; empty for other runs
};

/// The records of all runs, by the run's name, and times from seconds.csv.
struct Records {
  std::map<std::string, RunRecords> runs;
  /// The time of an epoch on the clock by model and variant. seconds.csv is optional: it has the columns model, variant
  /// and seconds_per_epoch, and is meant for times that were measured in one run, in turns, on an idle machine.
  std::map<std::string, std::map<std::string, double>> seconds;

  /// Returns the records of a run, which are empty if there are none.
  const RunRecords& of(const std::string& run) const;

  /// Returns the measured times of the model's variants, or none.
  std::map<std::string, double> epoch_seconds(const std::string& model) const;
};

/// Reads curves.csv, kernels.csv, scales.csv and seconds.csv of OUT, each of which may be missing. Throws
/// std::runtime_error that names a wrong line.
Records read_records(const std::filesystem::path& out);

/// Adds the records that the files do not have yet, and histograms that kernels.csv of an older version does not have,
/// for the runs of study.csv whose folders are there. Throws std::runtime_error if a file of a run is wrong.
void add_records(const StudyOptions& options);

}  // namespace repopt_cifar::study
