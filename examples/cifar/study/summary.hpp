// What the runs of a study say together: means and spreads over the seeds.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "study/plan.hpp"
#include "study/results.hpp"

namespace repopt_cifar::study {

/// Of some numbers.
struct Spread {
  double mean = 0, low = 0, high = 0;
  double deviation = 0;  ///< the sample's; 0 for a single number

  /// Throws std::invalid_argument if there are no numbers.
  static Spread of(std::span<const double> numbers);
};

/// Runs that differ by their seeds alone.
class Group {
 public:
  /// Throws std::invalid_argument if there are none.
  explicit Group(std::vector<RunResult> runs);

  const std::vector<RunResult>& runs() const { return runs_; }
  const RunKey& key() const { return runs_.front().key; }  ///< of one of them

  /// Over the seeds.
  Spread spread(double RunResult::*value) const;

  /// Mean time that the whole training takes on an idle machine, as far as processor time tells.
  double training_seconds() const;

 private:
  std::vector<RunResult> runs_;
};

/// The results of a study, for one model.
class ModelSummary {
 public:
  ModelSummary(std::string model, const std::vector<RunResult>& results);

  const std::string& model() const { return model_; }

  /// In the order of the variants, then by epochs and learning rate.
  const std::vector<Group>& groups() const { return groups_; }

  /// The number of epochs that most runs have, the smaller of two. 0 without runs.
  std::size_t usual_epochs() const;

  /// The variant's learning rate with the highest mean accuracy after so many epochs, among those with most seeds.
  /// nullptr without a run.
  const Group* best(std::string_view variant, std::size_t epochs) const;

  /// The longest training of the variant that takes at most `seconds`, by its best learning rate. nullptr if none does.
  const Group* longest_within(std::string_view variant, double seconds) const;

 private:
  std::string model_;
  std::vector<Group> groups_;
};

}  // namespace repopt_cifar::study
