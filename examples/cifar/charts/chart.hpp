// Chart: a coordinate system with lines, as a part of an SVG picture.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace repopt_cifar {

struct Axis {
  double low = 0, high = 1;
  std::string label;
  double min_step = 0;  ///< between its numbers: 1 for what is counted
};

/// Axes in a rectangle of the picture, with room for numbers at the left (45) and below (40), and a title above (24).
class Chart {
 public:
  using Points = std::vector<std::pair<double, double>>;

  Axis x_axis{}, y_axis{};
  double left = 45, top = 24, width = 300, height = 180;

  /// Grid, numbers, labels and the title.
  std::string axes(std::string_view title) const;

  /// A line through points, which is cut off at the edges.
  std::string line(const Points& points, std::string_view colour, bool dashed = false) const;

  /// A dot for each point.
  std::string dots(const Points& points, std::string_view colour, double radius = 2.5) const;

  /// Where a value lies in the picture.
  double x(double value) const;
  double y(double value) const;
};

/// Round numbers in [low, high], `count` or somewhat fewer or more, at least `min_step` apart.
std::vector<double> ticks(double low, double high, int count, double min_step = 0);

/// How many digits numbers in steps of `step` need behind their point.
int digits_of_step(double step);

}  // namespace repopt_cifar
