// The sections of study.html that show test accuracy over epochs and over time.
#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/plot.hpp"
#include "study/records.hpp"
#include "study/sections.hpp"
#include "study/variant_curves.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// The variants that one picture compares.
struct Comparison {
  std::string_view title;
  std::vector<std::string_view> variants;
};

const std::array<Comparison, 4>& comparisons() {
  static const std::array<Comparison, 4> all{{
      {"The prior, by branches or by gradients",
       {"plain", "rep-searched", "csla", "repvgg", "repvgg-custom-l2", "qarepvgg", "hyper_search"}},
      {"The two rules and the scales",
       {"plain", "rep-searched", "rep-sqrt", "rep-ones", "rep-averaged", "rep-ordinary-init", "rep-no-grad-mult",
        "rep-identity-0.3", "rep-identity-0.1", "rep-scale-0.5"}},
      {"Other branches, folded", {"dbb", "edge", "asymmetric"}},
      {"AdamW", {"plain-adamw", "rep-searched-adamw", "csla-adamw"}},
  }};
  return all;
}

/// Draws curves in one coordinate system, with a legend. The vertical axis begins just below the lowest point of the
/// last two thirds of all curves. Lower points are left out, because they would squeeze the curves together.
std::string curves_picture(const std::string& title, const std::vector<VariantCurve>& curves, Axis x_axis) {
  double high = 0;
  std::vector<const Variant*> variants;
  for (const VariantCurve& curve : curves) {
    variants.push_back(curve.variant);
    for (const auto& [x, accuracy] : curve.points) {
      high = std::max(high, accuracy);
      x_axis.high = std::max(x_axis.high, x);
    }
  }
  const Axis y_axis = round_axis(lowest_shown(curves), high);
  Plot plot(title, x_axis, y_axis);
  for (VariantCurve curve : curves) {
    std::erase_if(curve.points, [&](const auto& point) { return point.second < y_axis.low; });
    plot.line(curve.points, curve.variant->colour, is_dashed(*curve.variant));
    plot.dots(curve.points, curve.variant->colour);
  }
  return plot.html(legend(variants));
}

/// Writes seconds with one digit after the point if there are less than 100.
std::string seconds(double seconds) { return fixed(seconds, seconds < 100 ? 1 : 0); }

constexpr const char* no_curves = "Missing: curves.csv has no line of these runs.";

std::string about_seconds(const ModelSummary& summary) {
  return concat(summary.has_measured_seconds()
                    ? "Seconds are the epochs of a curve times the seconds of an epoch in seconds.csv, which were "
                      "measured in one run. Variants that are not in this file have their processor time"
                    : "Seconds are processor time",
                " divided by the number of threads, which is the time on the clock of an idle machine. Other work on "
                "the machine still changes it by some percent. The time of the Hyper-Search before variants with "
                "searched scales is left out, because a search is made once for an architecture.");
}

}  // namespace

std::string curves_section(const ModelSummary& summary, const Records& records) {
  std::string pictures;
  for (const Comparison& comparison : comparisons()) {
    const auto curves = curves_of(comparison.variants, summary, records, [](const Group&) { return 1.0; });
    if (!curves.empty()) pictures += curves_picture(std::string(comparison.title), curves, {1, 2, "epoch", 1});
  }
  return section(summary.model() + "-curves", "Learning curves",
                 pictures.empty()
                     ? paragraph(no_curves)
                     : paragraph("Mean test accuracy in % over the seeds, after each epoch. Low points of the first "
                                 "third are left out.") +
                           pictures);
}

std::string time_section(const ModelSummary& summary, const Records& records) {
  std::vector<std::string_view> all;
  for (const Variant& variant : all_variants()) all.push_back(variant.name);
  const auto curves =
      curves_of(all, summary, records, [&](const Group& group) { return summary.epoch_seconds(group); });
  std::string html = curves.empty() ? paragraph(no_curves)
                                    : curves_picture("Test accuracy in % over seconds of training", curves,
                                                     {0, 0, "seconds of training"});
  const Group* const repvgg = summary.best("repvgg", summary.usual_epochs());
  if (!repvgg) return section(summary.model() + "-time", "At equal time", html + paragraph("RepVGG was not run."));
  const double budget = summary.training_seconds(*repvgg);
  std::vector<Cells> rows;
  for (const std::string_view name : {"repvgg", "qarepvgg", "rep-searched", "rep-sqrt", "plain", "csla"}) {
    const Group* const group = name == "repvgg" ? repvgg : summary.longest_within(name, budget);
    if (!group) continue;
    rows.push_back({std::string(name), concat(group->key().epochs), seconds(summary.training_seconds(*group)),
                    fixed(100 * summary.training_seconds(*group) / budget, 0), percent(*group),
                    concat(group->runs().size())});
  }
  html += paragraph(concat(repvgg->key().epochs, " epochs of repvgg take ", seconds(budget),
                           " s. The table shows the longest training of each variant that takes at most this time. "
                           "Each training has a learning rate schedule of its own length."));
  html += table({"variant", "epochs", "seconds", "% of repvgg's time", "test accuracy in %", "seeds"}, rows);
  return section(summary.model() + "-time", "At equal time", html + paragraph(about_seconds(summary)));
}

}  // namespace repopt_cifar::study
