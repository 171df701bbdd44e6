// The section of study.html about networks that were fine-tuned for few bits.
#include <cstddef>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "repopt/base/error.hpp"
#include "study/fine_tuning.hpp"
#include "study/html.hpp"
#include "study/sections.hpp"
#include "study/shown.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

std::string mean_percent(const std::vector<FineTuningResult>& results, double FineTuningResult::*value) {
  std::vector<double> numbers;
  for (const FineTuningResult& result : results) numbers.push_back(result.*value);
  return percent(Spread::of(numbers).mean);
}

}  // namespace

std::string fine_tuning_section(const ModelSummary& summary, const std::vector<FineTuningResult>& results) {
  std::vector<Cells> rows;
  for (const Shown& runs : shown_runs(summary)) {
    std::map<std::tuple<int, int, std::size_t>, std::vector<FineTuningResult>> ways;  // by -bits, split and epochs
    for (const FineTuningResult& result : results)
      if (runs.has(result.key.run))
        ways[{-result.key.bits, result.key.split_identity, result.key.epochs}].push_back(result);
    for (const auto& [way, tuned] : ways) {
      const auto [minus_bits, split, epochs] = way;
      rows.push_back({concat(runs.variant->name, ", ", -minus_bits, " bits", split > 0 ? ", diagonals split off" : ""),
                      concat(tuned.size()), concat(epochs), mean_percent(tuned, &FineTuningResult::float_before),
                      mean_percent(tuned, &FineTuningResult::int_before),
                      mean_percent(tuned, &FineTuningResult::float_after),
                      mean_percent(tuned, &FineTuningResult::int_after)});
    }
  }
  return section(summary.model() + "-fine-tuning", "Fine-tuned for few bits",
                 rows.empty()
                     ? paragraph("Not run: fine_tuned.csv has no line for the networks above.")
                     : table({"network, weights and activations", "seeds", "epochs of fine-tuning", "float before, %",
                              "integers before, %", "float after, %", "integers after, %"},
                             rows) +
                           paragraph("Training in which weights and activations are rounded as the integers will be, "
                                     "with one scale for each kernel. The numbers are means over the seeds."));
}

}  // namespace repopt_cifar::study
