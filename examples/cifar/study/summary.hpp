// Means and spreads of a study's results over the seeds.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "study/plan.hpp"
#include "study/results.hpp"

namespace repopt_cifar::study {

/// Mean, lowest and highest number, and standard deviation.
struct Spread {
  double mean = 0, low = 0, high = 0;
  double deviation = 0;  ///< the sample standard deviation; 0 for a single number

  /// Computes the spread of `numbers`. Throws std::invalid_argument if there are none.
  static Spread of(std::span<const double> numbers);
};

/// Runs that differ only in their seeds.
class Group {
 public:
  /// Throws std::invalid_argument if there are none.
  explicit Group(std::vector<RunResult> runs);

  const std::vector<RunResult>& runs() const { return runs_; }
  const RunKey& key() const { return runs_.front().key; }  ///< the key of the first run

  /// The spread of one number over the seeds.
  Spread spread(double RunResult::*value) const;

 private:
  std::vector<RunResult> runs_;
};

/// The results of a study for one model.
class ModelSummary {
 public:
  /// `epoch_seconds` are times of an epoch by variant, which replace those of the runs in epoch_seconds().
  ModelSummary(std::string model, const std::vector<RunResult>& results,
               std::map<std::string, double> epoch_seconds = {});

  const std::string& model() const { return model_; }

  /// The groups, ordered by variant, epochs and learning rate.
  const std::vector<Group>& groups() const { return groups_; }

  /// The number of epochs that most runs have; if two numbers tie, the smaller one. 0 if there are no runs.
  std::size_t usual_epochs() const;

  /// The group of the variant's best learning rate: the highest mean accuracy after `epochs` epochs, among the rates
  /// with the most seeds. nullptr if there is no run.
  const Group* best(std::string_view variant, std::size_t epochs) const;

  /// The time of an epoch on the clock of an idle machine: the variant's measured time, or the runs' mean processor
  /// time divided by the number of threads.
  double epoch_seconds(const Group& group) const;

  /// The same for a whole training.
  double training_seconds(const Group& group) const { return double(group.key().epochs) * epoch_seconds(group); }

  /// Whether the times are measured ones.
  bool has_measured_seconds() const { return !epoch_seconds_.empty(); }

  /// The variant's longest training that takes at most `seconds`, with its best learning rate. nullptr if there is
  /// none.
  const Group* longest_within(std::string_view variant, double seconds) const;

 private:
  std::string model_;
  std::vector<Group> groups_;
  std::map<std::string, double> epoch_seconds_;  ///< by variant
};

}  // namespace repopt_cifar::study
