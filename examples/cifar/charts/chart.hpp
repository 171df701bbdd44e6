// Chart: a coordinate system with lines and dots, as a part of an SVG picture.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace repopt_cifar {

/// The range of an axis.
struct Axis {
  double low = 0, high = 1;
  std::string label;
  double min_step = 0;  ///< the smallest distance of its numbers: 1 for counts
};

/// Two axes around a rectangle of the picture. Numbers need space at the left (45) and below (40), the title above
/// (24).
class Chart {
 public:
  using Points = std::vector<std::pair<double, double>>;

  Axis x_axis{}, y_axis{};
  double left = 45, top = 24, width = 300, height = 180;

  /// Draws grid, numbers, labels and the title.
  std::string axes(std::string_view title) const;

  /// Draws a line through points. Points outside the axes are moved to their edge.
  std::string line(const Points& points, std::string_view colour, bool dashed = false) const;

  /// Draws a dot for each point. Points outside the axes are moved to their edge.
  std::string dots(const Points& points, std::string_view colour, double radius = 2.5) const;

  /// The place of a value in the picture.
  /// @{
  double x(double value) const;
  double y(double value) const;
  /// @}
};

/// Returns about `count` round numbers in [low, high], at least `min_step` apart.
std::vector<double> ticks(double low, double high, int count, double min_step = 0);

/// Returns how many digits after the point numbers need if they lie `step` apart.
int digits_of_step(double step);

}  // namespace repopt_cifar
