// The sections of study.html that have only tables.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/sections.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

std::string mean(const Group& group, double RunResult::*value, int digits) {
  return fixed(group.spread(value).mean, digits);
}

/// Returns the variants that have a result, in their order.
std::vector<const Variant*> variants_of(const ModelSummary& summary) {
  std::vector<const Variant*> variants;
  for (const Group& group : summary.groups()) {
    const Variant* const variant = &find_variant(group.key().variant);
    if (variants.empty() || variants.back() != variant) variants.push_back(variant);
  }
  return variants;
}

}  // namespace

std::string accuracy_section(const ModelSummary& summary) {
  std::vector<Cells> rows;
  const std::size_t epochs = summary.usual_epochs();
  for (const Variant* const variant : variants_of(summary)) {
    const Group* const group = summary.best(variant->name, epochs);
    if (!group) continue;
    const Spread accuracy = group->spread(&RunResult::test_accuracy);
    rows.push_back({std::string(variant->name), concat(group->runs().size()), percent(*group),
                    concat(percent(accuracy.low), " – ", percent(accuracy.high)),
                    variant->paper.empty() ? "–" : std::string(variant->paper), concat(group->key().lr),
                    mean(*group, &RunResult::train_loss, 3), mean(*group, &RunResult::processor_seconds_per_epoch, 1),
                    mean(*group, &RunResult::seconds_per_epoch, 1), mean(*group, &RunResult::peak_memory_mb, 0),
                    concat(group->runs().front().parameters)});
  }
  return section(
      summary.model() + "-accuracy", concat("Accuracy, time and memory after ", epochs, " epochs"),
      table({"variant", "seeds", "test accuracy in %, mean ± s.d.", "lowest – highest", "the article's, B1, ImageNet",
             "lr", "training loss", "processor s / epoch", "clock s / epoch", "peak memory, MiB",
             "parameters in training"},
            rows) +
          paragraph("Accuracy is measured after the last epoch, not the best one. Time is the time of training alone. "
                    "The time on the clock is the median over a run's epochs, and other work on the machine "
                    "increases it. Memory is that of the whole process, pictures included."));
}

std::string rates_section(const ModelSummary& summary) {
  std::map<std::string, std::set<std::pair<std::size_t, double>>> columns_of_rule;
  for (const Group& group : summary.groups())
    columns_of_rule[group.runs().front().optimizer].emplace(group.key().epochs, group.key().lr);
  std::string html;
  bool explored = false;
  for (const auto& [rule, columns] : columns_of_rule) {
    explored |= columns.size() > 1;
    Cells head{rule};
    for (const auto& [epochs, lr] : columns) head.push_back(concat(epochs, " epochs, lr ", lr));
    std::vector<Cells> rows;
    for (const Variant* const variant : variants_of(summary)) {
      if (variant->optimizer != rule) continue;
      Cells& row = rows.emplace_back(Cells{std::string(variant->name)});
      for (const auto& [epochs, lr] : columns) {
        const auto found = std::ranges::find_if(summary.groups(), [&, e = epochs, rate = lr](const Group& group) {
          return group.key().variant == variant->name && group.key().epochs == e && group.key().lr == rate;
        });
        if (found == summary.groups().end()) {
          row.push_back("–");
        } else {
          const bool best = summary.best(variant->name, epochs) == &*found;
          row.push_back(best ? concat("<strong>", percent(*found), "</strong>") : percent(*found));
        }
      }
    }
    html += table(head, rows);
  }
  return section(
      summary.model() + "-rates", "Learning rates and epochs",
      (explored ? html
                : paragraph("Not explored: every variant was trained with one learning rate and one number of "
                            "epochs.") +
                      html) +
          paragraph(
              "Bold is the best learning rate of a variant, among the rates with the most seeds. The other sections "
              "show it. GradMult changes the effective rate, so a fair comparison gives each variant its own "
              "rate. The choice is made on the test pictures. This is a little too optimistic for every variant, "
              "and more so for a variant that had more rates to choose from."));
}

}  // namespace repopt_cifar::study
