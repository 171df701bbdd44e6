#include "study/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "repopt/base/error.hpp"

namespace repopt_cifar::study {

Spread Spread::of(std::span<const double> numbers) {
  repopt::require(!numbers.empty(), "there is no spread of no numbers");
  Spread spread{.low = std::ranges::min(numbers), .high = std::ranges::max(numbers)};
  for (const double number : numbers) spread.mean += number / double(numbers.size());
  double squares = 0;
  for (const double number : numbers) squares += (number - spread.mean) * (number - spread.mean);
  if (numbers.size() > 1) spread.deviation = std::sqrt(squares / double(numbers.size() - 1));
  return spread;
}

Group::Group(std::vector<RunResult> runs) : runs_(std::move(runs)) {
  repopt::require(!runs_.empty(), "a group needs a run");
}

Spread Group::spread(double RunResult::*value) const {
  std::vector<double> numbers;
  for (const RunResult& run : runs_) numbers.push_back(run.*value);
  return Spread::of(numbers);
}

ModelSummary::ModelSummary(std::string model, const std::vector<RunResult>& results,
                           std::map<std::string, double> epoch_seconds)
    : model_(std::move(model)), epoch_seconds_(std::move(epoch_seconds)) {
  std::map<std::tuple<std::ptrdiff_t, std::size_t, double>, std::map<std::uint64_t, RunResult>> by_seed;
  for (const RunResult& result : results)
    if (result.key.model == model_) {
      const std::ptrdiff_t order = &find_variant(result.key.variant) - all_variants().data();
      by_seed[{order, result.key.epochs, result.key.lr}].emplace(result.key.seed, result);
    }
  for (const auto& [order, seeds] : by_seed) {
    std::vector<RunResult> runs;
    for (const auto& [seed, result] : seeds) runs.push_back(result);
    groups_.emplace_back(std::move(runs));
  }
}

std::size_t ModelSummary::usual_epochs() const {
  std::map<std::size_t, std::size_t> counts;
  for (const Group& group : groups_) counts[group.key().epochs] += group.runs().size();
  const auto most = std::ranges::max_element(counts, {}, [](const auto& item) { return item.second; });
  return most == counts.end() ? 0 : most->first;
}

const Group* ModelSummary::best(std::string_view variant, std::size_t epochs) const {
  const auto rank = [](const Group& group) {
    return std::pair(group.runs().size(), group.spread(&RunResult::test_accuracy).mean);
  };
  const Group* best = nullptr;
  for (const Group& group : groups_)
    if (group.key().variant == variant && group.key().epochs == epochs && (!best || rank(group) > rank(*best)))
      best = &group;
  return best;
}

double ModelSummary::epoch_seconds(const Group& group) const {
  if (const auto measured = epoch_seconds_.find(group.key().variant); measured != epoch_seconds_.end())
    return measured->second;
  return group.spread(&RunResult::processor_seconds_per_epoch).mean / group.runs().front().threads;
}

const Group* ModelSummary::longest_within(std::string_view variant, double seconds) const {
  std::set<std::size_t, std::greater<>> lengths;
  for (const Group& group : groups_) lengths.insert(group.key().epochs);
  for (const std::size_t epochs : lengths)
    if (const Group* const group = best(variant, epochs); group && training_seconds(*group) <= seconds) return group;
  return nullptr;
}

}  // namespace repopt_cifar::study
