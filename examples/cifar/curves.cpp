// curves_svg(): the picture of one or several runs.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "metrics.hpp"
#include "repopt/core/error.hpp"
#include "svg.hpp"

namespace repopt_cifar {

using repopt::concat;

namespace {

constexpr double panel_width = 420, panel_height = 300, margin_left = 56, margin_top = 44, gap = 70, legend_line = 20;

/// One coordinate system with its curves.
struct Panel {
  const char* title;
  double left;         ///< of the axes, in the picture
  std::size_t epochs;  ///< the x axis runs from 1 to this
  double low, high;    ///< of the y axis
  double scale;        ///< of the numbers at the y axis
  int digits;          ///< behind their point

  double x(std::size_t epoch) const {
    return left + panel_width * (epochs > 1 ? double(epoch - 1) / double(epochs - 1) : 0.5);
  }
  double y(double value) const { return margin_top + panel_height * (high - value) / (high - low); }

  std::string axes() const {
    std::string svg = concat("<text x='", left, "' y='", margin_top - 16, "' font-weight='bold'>", title, "</text>\n");
    for (int tick = 0; tick <= 4; ++tick) {
      const double value = low + (high - low) * tick / 4;
      svg += concat("<line x1='", left, "' x2='", left + panel_width, "' y1='", fixed(y(value), 1), "' y2='",
                    fixed(y(value), 1), "' stroke='#ddd'/><text x='", left - 8, "' y='", fixed(y(value) + 4, 1),
                    "' text-anchor='end'>", fixed(value * scale, digits), "</text>\n");
    }
    const std::size_t step = std::max<std::size_t>(1, (epochs + 9) / 10);
    for (std::size_t epoch = 1; epoch <= epochs; epoch += step)
      svg += concat("<text x='", fixed(x(epoch), 1), "' y='", margin_top + panel_height + 18, "' text-anchor='middle'>",
                    epoch, "</text>\n");
    return svg + concat("<text x='", left + panel_width / 2, "' y='", margin_top + panel_height + 38,
                        "' text-anchor='middle'>epoch</text>\n");
  }

  std::string curve(const Curve& run, double EpochMetrics::*value, const char* colour, bool dashed) const {
    std::string points, dots;
    for (const EpochMetrics& m : run.metrics) {
      const std::string px = fixed(x(m.epoch), 1), py = fixed(y(std::clamp(m.*value, low, high)), 1);
      points += concat(px, ",", py, " ");
      if (!dashed) dots += concat("<circle cx='", px, "' cy='", py, "' r='2.5' fill='", colour, "'/>");
    }
    return concat("<polyline fill='none' stroke-width='2' stroke='", colour, dashed ? "' stroke-dasharray='5 4" : "",
                  "' points='", points, "'/>", dots, "\n");
  }
};

}  // namespace

std::string curves_svg(const std::vector<Curve>& curves) {
  std::size_t epochs = 1;
  double highest_loss = 0, lowest_loss = 1e300;
  for (const Curve& run : curves)
    for (const EpochMetrics& m : run.metrics) {
      epochs = std::max(epochs, m.epoch);
      for (const double loss : {m.train_loss, m.test_loss})
        if (std::isfinite(loss)) {
          highest_loss = std::max(highest_loss, std::min(loss, 10.0));
          lowest_loss = std::min(lowest_loss, loss);
        }
    }
  lowest_loss = std::min(std::floor(lowest_loss * 10) / 10, highest_loss);
  highest_loss = std::max(std::ceil(highest_loss * 10) / 10, lowest_loss + 0.1);
  const Panel loss{"loss (dashed: training, solid: test)", margin_left, epochs, lowest_loss, highest_loss, 1, 2};
  const Panel accuracy{"accuracy in %", margin_left + panel_width + gap, epochs, 0, 1, 100, 0};

  const double width = accuracy.left + panel_width + 24;
  const double legend = margin_top + panel_height + 62, height = legend + legend_line * double(curves.size());
  std::string svg = loss.axes() + accuracy.axes();
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const char* const colour = colours[i % colours.size()];
    svg += loss.curve(curves[i], &EpochMetrics::train_loss, colour, true);
    svg += loss.curve(curves[i], &EpochMetrics::test_loss, colour, false);
    svg += accuracy.curve(curves[i], &EpochMetrics::train_accuracy, colour, true);
    svg += accuracy.curve(curves[i], &EpochMetrics::test_accuracy, colour, false);
    const double y = legend + legend_line * double(i);
    const double last = curves[i].metrics.empty() ? 0 : curves[i].metrics.back().test_accuracy;
    svg += concat("<rect x='", margin_left, "' y='", y - 9, "' width='22' height='4' fill='", colour, "'/><text x='",
                  margin_left + 30, "' y='", y, "'>", escaped(curves[i].name), ": ", fixed(100 * last, 1),
                  " % on the test pictures</text>\n");
  }
  return svg_file(width, height, 1.5 * width, svg);
}

}  // namespace repopt_cifar
