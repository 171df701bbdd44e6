// The section of study.html that shows the accuracy of every seed.
#include <algorithm>
#include <string>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/plot.hpp"
#include "study/sections.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// Returns the groups of the variants' best learning rates.
std::vector<const Group*> best_groups(const ModelSummary& summary) {
  std::vector<const Group*> groups;
  for (const Variant& variant : all_variants())
    if (const Group* const group = summary.best(variant.name, summary.usual_epochs())) groups.push_back(group);
  return groups;
}

/// Draws the seeds of a group over the axis: dots, the mean, and one standard deviation to both sides.
std::string strip(const Group& group, const Axis& axis) {
  const Variant& variant = find_variant(group.key().variant);
  const Spread accuracy = group.spread(&RunResult::test_accuracy);
  const auto place = [&](double share) {
    return 1000 * (std::clamp(100 * share, axis.low, axis.high) - axis.low) / (axis.high - axis.low);
  };
  const auto x = [&](double share) { return fixed(place(share), 1); };
  std::string svg = concat("<svg class='strip' viewBox='0 0 1000 20' preserveAspectRatio='none'>",
                           "<line class='grid' x1='0' x2='1000' y1='10' y2='10'/>");
  svg += concat("<line x1='", x(accuracy.mean - accuracy.deviation), "' x2='", x(accuracy.mean + accuracy.deviation),
                "' y1='10' y2='10' stroke-width='12' stroke-opacity='0.3' stroke='", variant.colour, "'/>");
  for (const RunResult& run : group.runs()) svg += round_dot(place(run.test_accuracy), 10, 6, variant.colour);
  return svg + concat("<line x1='", x(accuracy.mean), "' x2='", x(accuracy.mean),
                      "' y1='2' y2='18' stroke-width='2' stroke='", variant.colour, "'/></svg>");
}

}  // namespace

std::string spread_section(const ModelSummary& summary) {
  const std::vector<const Group*> groups = best_groups(summary);
  double low = 100, high = 0;
  for (const Group* const group : groups) {
    const Spread accuracy = group->spread(&RunResult::test_accuracy);
    low = std::min({low, 100 * accuracy.low, 100 * (accuracy.mean - accuracy.deviation)});
    high = std::max({high, 100 * accuracy.high, 100 * (accuracy.mean + accuracy.deviation)});
  }
  const Axis axis = round_axis(low, high);
  std::string rows;
  for (const Group* const group : groups)
    rows += concat("<tr><th scope='row'>", group->key().variant, "</th><td>", strip(*group, axis), "</td><td>",
                   percent(group->spread(&RunResult::test_accuracy).mean), "</td></tr>\n");
  const std::vector<double> marks = ticks(axis.low, axis.high, 5);
  const int digits = marks.size() > 1 ? digits_of_step(marks[1] - marks[0]) : 1;
  std::string scale;
  for (const double mark : marks)
    scale += concat("<span style='left:", fixed(100 * (mark - axis.low) / (axis.high - axis.low), 2), "%'>",
                    fixed(mark, digits), "</span>");
  return section(
      summary.model() + "-spread", concat("Spread over the seeds after ", summary.usual_epochs(), " epochs"),
      paragraph("Test accuracy in %: the mean (line and number), every seed (dots) and one standard deviation to both "
                "sides (bar). The axis does not begin at zero.") +
          concat("<figure role='img' aria-label='accuracy of every seed'><table class='spread'><tbody>\n", rows,
                 "<tr><th></th><td><div class='marks'>", scale, "</div></td><td></td></tr>\n",
                 "</tbody></table></figure>\n"));
}

}  // namespace repopt_cifar::study
