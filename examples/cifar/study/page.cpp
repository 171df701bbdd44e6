#include "study/page.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/fine_tuning.hpp"
#include "study/html.hpp"
#include "study/int8.hpp"
#include "study/layers.hpp"
#include "study/records.hpp"
#include "study/sections.hpp"
#include "study/style.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// Lists the planned runs without a result, with the reasons of those that failed.
std::string missing_runs(const std::vector<PlannedRun>& plan, const std::vector<RunResult>& results,
                         const std::map<std::string, std::string>& failures) {
  std::string items;
  std::size_t count = 0;
  for (const PlannedRun& run : plan) {
    if (std::ranges::find(results, run.key, &RunResult::key) != results.end()) continue;
    ++count;
    const auto failure = failures.find(run.key.name());
    items +=
        concat("<li>", run.key.name(), failure == failures.end() ? "" : ": " + escaped(failure->second), "</li>\n");
  }
  if (count == 0) return paragraph(concat("All ", plan.size(), " runs that the last command planned are here."));
  return concat("<details><summary>", count, " of ", plan.size(), " planned runs are not here</summary><ul>\n", items,
                "</ul></details>\n");
}

/// Lists what value(result) returns for the results, each value once and in order: "1, 2, 4".
std::string list_of(const std::vector<RunResult>& results, auto value) {
  std::set<std::decay_t<decltype(value(results.front()))>> values;
  for (const RunResult& result : results) values.insert(value(result));
  std::string text;
  for (const auto& item : values) text += concat(text.empty() ? "" : ", ", item);
  return text;
}

std::string list_of_variants() {
  std::string html = "<details><summary>What the variants are</summary><dl>\n";
  for (const Variant& variant : all_variants())
    html += concat("<dt>", variant.name, "</dt><dd>", variant.meaning, "</dd>\n");
  return html + "</dl></details>\n";
}

std::string introduction(const std::vector<RunResult>& results) {
  if (results.empty()) return paragraph("No run has finished yet.");
  return paragraph(concat(
      results.size(), " finished runs on ", escaped(describe(results.front().conditions)), "; seeds ",
      list_of(results, [](const RunResult& r) { return r.key.seed; }), "; ",
      list_of(results, [](const RunResult& r) { return r.key.epochs; }), " epochs; learning rates ",
      list_of(results, [](const RunResult& r) { return r.key.lr; }), "; threads ",
      list_of(results, [](const RunResult& r) { return r.threads; }),
      ". All runs have half an epoch of warm-up and then a cosine schedule, Nesterov momentum 0.9, weight decay 5e-4 "
      "(AdamW: 5e-2), label smoothing 0.1, random crops and flips. Each model and seed has a Hyper-Search of its own. "
      "The variants with searched scales use its final scales."));
}

/// Names the variants of which the model has no run.
std::string not_run(const ModelSummary& summary) {
  std::string names;
  for (const Variant& variant : all_variants())
    if (std::ranges::none_of(summary.groups(), [&](const Group& g) { return g.key().variant == variant.name; }))
      names.append(names.empty() ? "" : ", ").append(variant.name);
  return names.empty() ? "" : paragraph("Not run: " + names + ".");
}

std::string model_sections(const ModelSummary& summary, const Records& records, const repopt::nn::BlockSpec& shown,
                           const std::vector<Int8Result>& int8_results, const std::vector<LayerResult>& layers,
                           const std::vector<FineTuningResult>& fine_tuned) {
  return concat("<h2 id='", summary.model(), "'>", summary.model(), "</h2>\n", not_run(summary),
                accuracy_section(summary), spread_section(summary), curves_section(summary, records),
                time_section(summary, records), rates_section(summary), scales_section(summary, records, shown),
                kernels_section(summary, records, shown), int8_section(summary, int8_results, layers),
                fine_tuning_section(summary, fine_tuned));
}

}  // namespace

std::string page(const StudyOptions& options, const std::vector<PlannedRun>& plan,
                 const std::vector<RunResult>& results, const std::map<std::string, std::string>& failures) {
  const std::vector<Int8Result> int8_results = read_int8_results(options.out);
  const std::vector<LayerResult> layers = read_layers(options.out);
  const std::vector<FineTuningResult> fine_tuned = read_fine_tuning(options.out);
  const Records records = read_records(options.out);
  std::string body, links;
  for (const repopt::nn::VggConfig& preset : repopt::nn::vgg_presets())
    if (std::ranges::any_of(results, [&](const RunResult& result) { return result.key.model == preset.name; })) {
      body += model_sections(ModelSummary(preset.name, results, records.epoch_seconds(preset.name)), records,
                             shown_block(options, preset.name), int8_results, layers, fine_tuned);
      links += concat("<a href='#", preset.name, "'>", preset.name, "</a>");
    }
  return concat(
      "<!DOCTYPE html>\n<html xmlns='http://www.w3.org/1999/xhtml' lang='en'>\n<head>\n<meta charset='utf-8'/>\n"
      "<meta name='viewport' content='width=device-width, initial-scale=1'/>\n"
      "<title>RepOpt-VGG on small pictures</title>\n<style>",
      page_style, "</style>\n</head>\n<body>\n<h1>What a multi-branch prior is worth to a plain network</h1>\n",
      introduction(results), list_of_variants(), missing_runs(plan, results, failures), "<nav>", links, "</nav>\n",
      body, "</body>\n</html>\n");
}

}  // namespace repopt_cifar::study
