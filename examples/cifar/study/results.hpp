// study.csv: one line for each finished run.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "study/plan.hpp"

namespace repopt_cifar::study {

/// The conditions that all runs of a study.csv share.
struct Conditions {
  std::string data = "";
  std::size_t train_images = 0, test_images = 0, batch_size = 0;
  std::size_t search_epochs = 0;  ///< the length of the Hyper-Searches whose scales the runs use

  bool operator==(const Conditions&) const = default;
};

/// "10000 training and 2000 test pictures of synthetic, batch size 128, Hyper-Searches of 12 epochs".
std::string describe(const Conditions& conditions);

/// A finished run.
struct RunResult {
  RunKey key{};
  std::string optimizer = "";
  double test_accuracy = 0, train_loss = 0;
  double seconds_per_epoch = 0;            ///< the training's time on the clock, the median over the epochs
  double processor_seconds_per_epoch = 0;  ///< the training's processor time, summed over all threads
  double peak_memory_mb = 0;               ///< the peak of the run's own process
  std::size_t parameters = 0;              ///< during training
  int threads = 0;
  Conditions conditions{};

  bool operator==(const RunResult&) const = default;
};

/// Writes results as the text of study.csv.
std::string to_csv(const std::vector<RunResult>& results);

/// Reads the text of to_csv(). Throws std::runtime_error that names `source` and the line if it is wrong.
std::vector<RunResult> results_from_csv(const std::string& text, const std::string& source);

/// Reads OUT/study.csv. Returns nothing if there is no such file. Throws std::runtime_error that names a wrong line.
std::vector<RunResult> read_results(const std::filesystem::path& out);

/// Reads the result from the folder of a finished run, in a study whose Hyper-Searches have `search_epochs` epochs.
/// Throws std::runtime_error if the run has not finished.
RunResult read_result(const std::filesystem::path& folder, const RunKey& key, std::size_t search_epochs);

/// Adds a line to OUT/study.csv unless it already has the run. Other processes may do the same at the same time.
void add_result(const std::filesystem::path& out, const RunResult& result);

/// Returns the median of the seconds that the epochs of a training took. The median hardly depends on what else the
/// machine did. Throws std::runtime_error if the folder has no metrics.csv.
double median_epoch_seconds(const std::filesystem::path& folder, std::size_t train_images);

}  // namespace repopt_cifar::study
