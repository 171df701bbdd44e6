// fine_tuned.csv: the accuracy of networks that were fine-tuned for integers of few bits.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "options.hpp"
#include "study/plan.hpp"

namespace repopt_cifar::study {

/// The network of a run, fine-tuned in one way: by `repopt-cifar quantize --scheme per-tensor` with these options.
struct FineTuningKey {
  RunKey run{};
  int bits = 4;            ///< the bits that weights and activations have
  int split_identity = 0;  ///< the bits that centre diagonals have, split off kernels; 0: they are not split off
  std::size_t epochs = 2;  ///< how long the network is fine-tuned

  bool operator==(const FineTuningKey&) const = default;
};

/// The test accuracy of the network of `key`, from 0 to 1.
struct FineTuningResult {
  FineTuningKey key{};
  double float_before = 0, int_before = 0;  ///< before the fine-tuning, in floats and in integers
  double float_after = 0, int_after = 0;    ///< the same after it

  bool operator==(const FineTuningResult&) const = default;
};

/// Lists the ways in which a network is fine-tuned: for 5 and 4 bits and, if its kernels have centre diagonals, also
/// with these split off. Throws std::invalid_argument if there is no model of that name.
std::vector<FineTuningKey> fine_tuning_keys(const RunKey& run, std::size_t epochs);

/// Writes results as the text of fine_tuned.csv.
std::string to_csv(const std::vector<FineTuningResult>& results);

/// Reads OUT/fine_tuned.csv. Returns nothing if there is no such file. Throws std::runtime_error that names a wrong
/// line.
std::vector<FineTuningResult> read_fine_tuning(const std::filesystem::path& out);

/// Fine-tunes the networks of the planned runs that study.csv has, for options.fine_tune_epochs, in all ways that
/// fine_tuned.csv does not have yet. Leaves out networks of averaged scales, because their files do not say which
/// scales they were trained with. Writes fine_tuned.csv after each. Everything else is as in measure_networks().
void measure_fine_tuning(const StudyOptions& options, const std::vector<PlannedRun>& plan, const std::string& program,
                         std::map<std::string, std::string>& failures, const std::function<void()>& finished);

}  // namespace repopt_cifar::study
