// Plot: a chart as wide as the page, whose text keeps its size on narrow screens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "charts/chart.hpp"

namespace repopt_cifar::study {

/// A chart as HTML. A picture of 1000 x 1000 units is stretched over the page's width, and its numbers are text beside
/// it. So lines and dots keep their thickness, and the numbers their size, on a screen of any width.
class Plot {
 public:
  using Points = Chart::Points;

  /// `name` says what the chart shows: it is its title, and the picture's name for screen readers.
  Plot(std::string name, Axis x_axis, Axis y_axis);

  /// Draws a line, or dots, at points. Points outside the axes are moved to their edge.
  /// @{
  void line(const Points& points, std::string_view colour, bool dashed = false);
  void dots(const Points& points, std::string_view colour);
  /// @}

  /// Returns the chart with `legend` (HTML) below.
  std::string html(std::string_view legend) const;

 private:
  double x(double value) const;
  double y(double value) const;

  std::string name_;
  Axis x_axis_, y_axis_;
  std::string svg_;
};

/// A dot of `size` pixels, round however its picture is stretched.
std::string round_dot(double x, double y, double size, std::string_view colour);

/// Returns the shortest range that contains [low, high] and begins and ends at round numbers.
Axis round_axis(double low, double high, std::string label = "");

}  // namespace repopt_cifar::study
