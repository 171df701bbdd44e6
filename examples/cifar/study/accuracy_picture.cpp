#include "study/accuracy_picture.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/plot.hpp"
#include "study/variant_curves.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr double left = 45, top = 34, width = 690, height = 280, legend_top = top + height + 62, legend_line = 20;

}  // namespace

std::string accuracy_svg(const ModelSummary& summary, const Records& records) {
  const std::vector<VariantCurve> curves =
      curves_of({"plain", "rep-sqrt", "rep-searched", "hyper_search", "repvgg", "qarepvgg"}, summary, records,
                [&](const Group& group) { return summary.epoch_seconds(group); });
  if (curves.empty()) return "";
  double seconds = 1, high = 0;
  for (const VariantCurve& curve : curves) {
    seconds = std::max(seconds, curve.points.back().first);
    for (const auto& [x, accuracy] : curve.points) high = std::max(high, accuracy);
  }
  const Chart chart{
      {0, seconds, "seconds of training"}, round_axis(lowest_shown(curves), high), left, top, width, height};
  std::string svg = chart.axes(concat("Test accuracy of ", summary.model(), " in %"));
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const auto& [variant, group, points] = curves[i];
    Chart::Points shown = points;
    std::erase_if(shown, [&](const auto& point) { return point.second < chart.y_axis.low; });
    svg += concat(chart.line(shown, variant->colour), chart.dots(shown, variant->colour));
    const double y = legend_top + legend_line * double(i);
    svg += concat("<rect x='", left, "' y='", y - 7, "' width='22' height='4' fill='", variant->colour, "'/><text x='",
                  left + 30, "' y='", y, "'>", percent(*group), " %: ", escaped(variant->name), ", ",
                  escaped(variant->meaning), "</text>\n");
  }
  return svg_file(left + width + 20, legend_top + legend_line * double(curves.size()), left + width + 20, svg);
}

}  // namespace repopt_cifar::study
