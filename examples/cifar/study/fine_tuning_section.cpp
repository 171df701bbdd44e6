// The section of study.html about networks that were fine-tuned for few bits.
#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "study/fine_tuning.hpp"
#include "study/html.hpp"
#include "study/sections.hpp"
#include "study/shown.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// The fine-tunings of a variant that differ only in their seeds.
using Seeds = std::vector<FineTuningResult>;

std::string mean_and_deviation(const Seeds& seeds, double FineTuningResult::*value) {
  std::vector<double> numbers;
  for (const FineTuningResult& result : seeds) numbers.push_back(result.*value);
  const Spread spread = Spread::of(numbers);
  return concat(percent(spread.mean), seeds.size() > 1 ? concat(" ± ", percent(spread.deviation)) : "");
}

Cells row_of_seeds(const Variant& variant, const Seeds& seeds) {
  const FineTuningKey& way = seeds.front().key;
  return {concat(variant.name, ", ", way.bits, " bits", way.split_identity > 0 ? ", diagonals split off" : ""),
          concat(seeds.size()),
          concat(way.epochs),
          mean_and_deviation(seeds, &FineTuningResult::float_before),
          mean_and_deviation(seeds, &FineTuningResult::int_before),
          mean_and_deviation(seeds, &FineTuningResult::float_after),
          mean_and_deviation(seeds, &FineTuningResult::int_after)};
}

}  // namespace

std::string fine_tuning_section(const ModelSummary& summary, const std::vector<FineTuningResult>& results) {
  std::vector<Cells> rows;
  for (const Shown& runs : shown_runs(summary)) {
    std::map<int, std::map<std::pair<int, std::size_t>, Seeds>, std::greater<>> ways;  // by bits, by split and epochs
    for (const FineTuningResult& result : results)
      if (runs.has(result.key.run))
        ways[result.key.bits][{result.key.split_identity, result.key.epochs}].push_back(result);
    for (const auto& [bits, ways_of_bits] : ways)
      for (const auto& [way, seeds] : ways_of_bits) rows.push_back(row_of_seeds(*runs.variant, seeds));
  }
  const std::string body =
      rows.empty()
          ? paragraph("Not run: fine_tuned.csv has no line for the networks above.")
          : table({"network, bits of weights and activations", "seeds", "epochs of fine-tuning", "float before, %",
                   "integers before, %", "float after, %", "integers after, %"},
                  rows) +
                paragraph(
                    "Mean and standard deviation over the seeds. In the fine-tuning weights and activations are "
                    "rounded "
                    "as the integers will be, per tensor; diagonals that are split off have a scale of their own. "
                    "\"Float after\" is the same network without the rounding that it was trained for.");
  return section(summary.model() + "-fine-tuning", "Fine-tuned for few bits", body);
}

}  // namespace repopt_cifar::study
