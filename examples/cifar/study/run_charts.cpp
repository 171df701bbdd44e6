// The sections of study.html that show runs in pictures.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/sections.hpp"
#include "training/metrics.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// The variants that one picture compares.
struct Comparison {
  std::string_view title;
  std::vector<std::string_view> variants;
};

const std::array<Comparison, 3>& comparisons() {
  static const std::array<Comparison, 3> all{{
      {"The prior, by branches or by gradients", {"plain", "rep-searched", "csla", "repvgg", "hyper_search"}},
      {"The two rules and the scales",
       {"plain", "rep-searched", "rep-sqrt", "rep-ones", "rep-averaged", "rep-ordinary-init", "rep-no-grad-mult"}},
      {"AdamW", {"plain-adamw", "rep-searched-adamw", "csla-adamw"}},
  }};
  return all;
}

/// Returns the mean test accuracy in % after each epoch, over the seeds that have a metrics.csv.
std::vector<double> mean_curve(const Group& group, const StudyOptions& options) {
  std::vector<double> sums(group.key().epochs);
  std::size_t count = 0;
  for (const RunResult& run : group.runs()) {
    const std::filesystem::path folder = run_folder(options, run.key.name());
    if (!std::filesystem::exists(folder / "metrics.csv")) continue;
    ++count;
    for (const EpochMetrics& m : read_metrics(folder))
      if (m.epoch <= sums.size()) sums[m.epoch - 1] += 100 * m.test_accuracy;
  }
  if (count == 0) return {};
  for (double& sum : sums) sum /= double(count);
  return sums;
}

/// A variant's curve over epochs or seconds.
struct VariantCurve {
  const Variant* variant;
  Chart::Points points;
};

/// Returns the curves of a comparison, each with its variant's best learning rate. Variants without metrics are left
/// out. x is epoch * step(group).
std::vector<VariantCurve> curves_of(const Comparison& comparison, const ModelSummary& summary,
                                    const StudyOptions& options, auto step) {
  std::vector<VariantCurve> curves;
  for (const std::string_view name : comparison.variants) {
    const Group* const group = summary.best(name, summary.usual_epochs());
    if (!group) continue;
    Chart::Points points;
    for (const double accuracy : mean_curve(*group, options))
      points.emplace_back(step(*group) * double(points.size() + 1), accuracy);
    if (!points.empty()) curves.push_back({&find_variant(name), std::move(points)});
  }
  return curves;
}

/// Draws curves in one coordinate system, with a legend. The vertical axis begins just below the lowest point of the
/// last two thirds of all curves. Lower points are left out, because they would squeeze the curves together.
std::string curves_picture(std::string_view title, const std::vector<VariantCurve>& curves, Axis x_axis) {
  double low = 100, high = 0;
  std::vector<const Variant*> variants;
  for (const VariantCurve& curve : curves) {
    variants.push_back(curve.variant);
    for (std::size_t i = 0; i < curve.points.size(); ++i) {
      const auto& [x, accuracy] = curve.points[i];
      if (3 * i >= curve.points.size()) low = std::min(low, accuracy);
      high = std::max(high, accuracy);
      x_axis.high = std::max(x_axis.high, x);
    }
  }
  const Chart chart{.x_axis = x_axis, .y_axis = {std::floor(low / 5) * 5, std::ceil(high / 5 + 0.01) * 5, ""}};
  std::string svg = chart.axes(title);
  for (VariantCurve curve : curves) {
    std::erase_if(curve.points, [&](const auto& point) { return point.second < chart.y_axis.low; });
    svg += chart.line(curve.points, curve.variant->colour, is_dashed(*curve.variant));
    svg += chart.dots(curve.points, curve.variant->colour, 1.8);
  }
  return concat("<figure>", picture(360, 245, title, svg), legend(variants), "</figure>\n");
}

/// Writes seconds with one digit after the point if there are less than 100.
std::string seconds(double seconds) { return fixed(seconds, seconds < 100 ? 1 : 0); }

constexpr const char* no_curves = "Missing: the folders of the runs with their metrics.csv.";

}  // namespace

std::string spread_section(const ModelSummary& summary) {
  std::vector<const Group*> groups;
  double low = 100, high = 0;
  for (const Variant& variant : all_variants())
    if (const Group* const group = summary.best(variant.name, summary.usual_epochs())) {
      const Spread accuracy = group->spread(&RunResult::test_accuracy);
      low = std::min(low, 100 * accuracy.low);
      high = std::max(high, 100 * accuracy.high);
      groups.push_back(group);
    }
  constexpr double row = 22, top = 10, left = 136, width = 170;
  const double height = row * double(groups.size());
  const double margin = std::max(0.5, (high - low) * 0.06);
  const Chart chart{.x_axis = {low - margin, high + margin, ""}, .left = left, .top = top, .width = width};
  std::string svg;
  const std::vector<double> columns = ticks(chart.x_axis.low, chart.x_axis.high, 4);
  const int digits = columns.size() > 1 ? digits_of_step(columns[1] - columns[0]) : 1;
  for (const double tick : columns)
    svg += concat("<line x1='", fixed(chart.x(tick), 1), "' x2='", fixed(chart.x(tick), 1), "' y1='", top, "' y2='",
                  top + height, "' stroke='#ddd'/><text x='", fixed(chart.x(tick), 1), "' y='", top + height + 16,
                  "' text-anchor='middle'>", fixed(tick, digits), "</text>\n");
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const Variant& variant = find_variant(groups[i]->key().variant);
    const Spread accuracy = groups[i]->spread(&RunResult::test_accuracy);
    const double y = top + row * (double(i) + 0.5);
    const auto x = [&](double share) { return fixed(chart.x(100 * share), 1); };
    svg += concat("<text x='", left - 6, "' y='", y + 4, "' text-anchor='end'>", variant.name, "</text>");
    svg += concat("<line x1='", x(accuracy.mean - accuracy.deviation), "' x2='", x(accuracy.mean + accuracy.deviation),
                  "' y1='", y, "' y2='", y, "' stroke-width='12' stroke-opacity='0.3' stroke='", variant.colour, "'/>");
    for (const RunResult& run : groups[i]->runs())
      svg += concat("<circle cx='", x(run.test_accuracy), "' cy='", y, "' r='2.5' fill='", variant.colour, "'/>");
    svg += concat("<line x1='", x(accuracy.mean), "' x2='", x(accuracy.mean), "' y1='", y - 8, "' y2='", y + 8,
                  "' stroke-width='2' stroke='", variant.colour, "'/><text x='", left + width + 6, "' y='", y + 4, "'>",
                  percent(accuracy.mean), "</text>\n");
  }
  return section(summary.model() + "-spread", concat("Spread over the seeds after ", summary.usual_epochs(), " epochs"),
                 paragraph("Test accuracy in %: the mean (line and number), every seed (dots) and one standard "
                           "deviation to both sides (bar). The axis does not begin at zero.") +
                     side_by_side(concat("<figure>", picture(360, top + height + 26, "accuracy of every seed", svg),
                                         "</figure>\n")));
}

std::string curves_section(const ModelSummary& summary, const StudyOptions& options) {
  std::string pictures;
  for (const Comparison& comparison : comparisons()) {
    const auto curves = curves_of(comparison, summary, options, [](const Group&) { return 1.0; });
    if (!curves.empty()) pictures += curves_picture(comparison.title, curves, {1, 2, "epoch", 1});
  }
  return section(summary.model() + "-curves", "Learning curves",
                 pictures.empty()
                     ? paragraph(no_curves)
                     : paragraph("Mean test accuracy in % over the seeds, after each epoch. Low points of the first "
                                 "third are left out.") +
                           side_by_side(pictures));
}

std::string time_section(const ModelSummary& summary, const StudyOptions& options) {
  const auto step = [](const Group& group) { return group.training_seconds() / double(group.key().epochs); };
  const auto curves = curves_of(comparisons()[0], summary, options, step);
  std::string html = curves.empty() ? paragraph(no_curves)
                                    : side_by_side(curves_picture("Test accuracy in % over seconds of training", curves,
                                                                  {0, 0, "processor seconds / threads"}));
  const Group* const repvgg = summary.best("repvgg", summary.usual_epochs());
  if (!repvgg) return section(summary.model() + "-time", "At equal time", html + paragraph("RepVGG was not run."));
  const double budget = repvgg->training_seconds();
  std::vector<Cells> rows;
  for (const std::string_view name : {"repvgg", "rep-searched", "rep-sqrt", "plain", "csla"}) {
    const Group* const group = name == "repvgg" ? repvgg : summary.longest_within(name, budget);
    if (!group) continue;
    rows.push_back({std::string(name), concat(group->key().epochs), seconds(group->training_seconds()),
                    fixed(100 * group->training_seconds() / budget, 0), percent(*group), concat(group->runs().size())});
  }
  html += paragraph(concat(repvgg->key().epochs, " epochs of repvgg take ", seconds(budget),
                           " s. The table shows the longest training of each variant that takes at most this time. "
                           "Each training has a learning rate schedule of its own length."));
  html += table({"variant", "epochs", "seconds", "% of repvgg's time", "test accuracy in %", "seeds"}, rows);
  return section(summary.model() + "-time", "At equal time",
                 html + paragraph("Seconds are processor time divided by the number of threads, which is the time on "
                                  "the clock of an idle machine. Other work on the machine still changes it by some "
                                  "percent. The time of the Hyper-Search before rep-searched and csla is left out, "
                                  "because a search is made once for an architecture."));
}

}  // namespace repopt_cifar::study
