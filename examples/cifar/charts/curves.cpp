// curves_svg(): the picture of the curves of one or several runs.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "training/metrics.hpp"

namespace repopt_cifar {

using repopt::concat;

namespace {

constexpr double page_margin = 56, panel_width = 420, panel_height = 300, gap = 70, legend_line = 20;

/// Returns `value` times `scale` for each epoch in which it is finite.
Chart::Points points(const Curve& run, double EpochMetrics::*value, double scale) {
  Chart::Points result;
  for (const EpochMetrics& m : run.metrics)
    if (std::isfinite(m.*value)) result.emplace_back(double(m.epoch), scale * m.*value);
  return result;
}

/// Draws the training as a dashed line and the test as a solid line with a dot for each epoch.
std::string both(const Chart& chart, const Curve& run, double EpochMetrics::*train, double EpochMetrics::*test,
                 double scale, const char* colour) {
  const Chart::Points tested = points(run, test, scale);
  return concat(chart.line(points(run, train, scale), colour, true), chart.line(tested, colour),
                chart.dots(tested, colour));
}

/// Returns an axis from below the lowest loss to above the highest loss. It ends at 10 if losses are higher.
Axis loss_axis(const std::vector<Curve>& curves) {
  double high = 0, low = 1e300;
  for (const Curve& run : curves)
    for (const EpochMetrics& m : run.metrics)
      for (const double loss : {m.train_loss, m.test_loss})
        if (std::isfinite(loss)) {
          high = std::max(high, std::min(loss, 10.0));
          low = std::min(low, loss);
        }
  low = std::min(std::floor(low * 10) / 10, high);
  return {low, std::max(std::ceil(high * 10) / 10, low + 0.1), ""};
}

}  // namespace

std::string curves_svg(const std::vector<Curve>& curves) {
  std::size_t epochs = 2;
  for (const Curve& run : curves)
    for (const EpochMetrics& m : run.metrics) epochs = std::max(epochs, m.epoch);
  const Axis epoch_axis{1, double(epochs), "epoch", 1};
  const Chart loss{epoch_axis, loss_axis(curves), page_margin, 44, panel_width, panel_height};
  const Chart accuracy{epoch_axis, {0, 100, ""}, page_margin + panel_width + gap, 44, panel_width, panel_height};

  const double width = accuracy.left + panel_width + 24;
  const double legend = loss.top + panel_height + 62, height = legend + legend_line * double(curves.size());
  std::string svg = loss.axes("loss (dashed: training, solid: test)") + accuracy.axes("accuracy in %");
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const char* const colour = colours[i % colours.size()];
    svg += both(loss, curves[i], &EpochMetrics::train_loss, &EpochMetrics::test_loss, 1, colour);
    svg += both(accuracy, curves[i], &EpochMetrics::train_accuracy, &EpochMetrics::test_accuracy, 100, colour);
    const double y = legend + legend_line * double(i);
    const double last = curves[i].metrics.empty() ? 0 : curves[i].metrics.back().test_accuracy;
    svg += concat("<rect x='", page_margin, "' y='", y - 9, "' width='22' height='4' fill='", colour, "'/><text x='",
                  page_margin + 30, "' y='", y, "'>", escaped(curves[i].name), ": ", fixed(100 * last, 1),
                  " % on the test pictures</text>\n");
  }
  return svg_file(width, height, 1.5 * width, svg);
}

}  // namespace repopt_cifar
