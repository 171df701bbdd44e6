// The measurements of a run, epoch by epoch: metrics.csv and its curves.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace repopt_cifar {

/// The line of metrics.csv for one epoch.
struct EpochMetrics {
  std::size_t epoch = 0;  ///< counted from 1
  double lr = 0;          ///< the learning rate of the epoch's last step
  double train_loss = 0, train_accuracy = 0, test_loss = 0, test_accuracy = 0;
  double images_per_second = 0;  ///< in the training alone
  double seconds = 0;            ///< training and test together
};

/// Writes a header and a line for each epoch. from_csv() reads exactly the same numbers.
std::string to_csv(const std::vector<EpochMetrics>& metrics);

/// Reads the text of to_csv(). Throws std::runtime_error that names `source` and the line if it is wrong.
std::vector<EpochMetrics> from_csv(const std::string& text, const std::string& source);

/// Reads FOLDER/metrics.csv. Throws std::runtime_error if the file is missing or wrong.
std::vector<EpochMetrics> read_metrics(const std::filesystem::path& folder);

/// A run in the picture of curves_svg().
struct Curve {
  std::string name;
  std::vector<EpochMetrics> metrics;
};

/// Draws two panels as SVG: loss and accuracy over the epochs. Lines are dashed for training and solid for the test.
/// Each run has its own colour.
std::string curves_svg(const std::vector<Curve>& curves);

}  // namespace repopt_cifar
