// What a run measured, epoch by epoch: metrics.csv and its curves.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace repopt_cifar {

/// One epoch's line of metrics.csv.
struct EpochMetrics {
  std::size_t epoch = 0;  ///< counted from 1
  double lr = 0;          ///< of its last step
  double train_loss = 0, train_accuracy = 0, test_loss = 0, test_accuracy = 0;
  double images_per_second = 0;  ///< of training
  double seconds = 0;            ///< of training and test
};

/// The lines as text, with a header; numbers read back as they were.
std::string to_csv(const std::vector<EpochMetrics>& metrics);

/// Reads such text. Throws std::runtime_error that names `source` and the line.
std::vector<EpochMetrics> from_csv(const std::string& text, const std::string& source);

/// Reads FOLDER/metrics.csv. Throws std::runtime_error that names what is wrong.
std::vector<EpochMetrics> read_metrics(const std::filesystem::path& folder);

/// A run for the picture.
struct Curve {
  std::string name;
  std::vector<EpochMetrics> metrics;
};

/// Two panels as SVG: loss and accuracy over the epochs, training dashed and test solid, one colour for each run.
std::string curves_svg(const std::vector<Curve>& curves);

}  // namespace repopt_cifar
