#include "charts/chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar {

using repopt::concat;

std::vector<double> ticks(double low, double high, int count, double min_step) {
  if (!(high > low)) return {low};
  const double rough = (high - low) / count, decade = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * decade;
  for (const double factor : {5.0, 2.0, 1.0})
    if (factor * decade >= rough * 0.999) step = factor * decade;
  step = std::max(step, min_step);
  std::vector<double> result;
  // Multiplying, unlike adding up steps, gives 0.3 for 0.3. The tolerance keeps an end that rounding pushed outside.
  // Adding 0.0 turns -0 into 0.
  for (double n = std::ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; ++n) result.push_back(n * step + 0.0);
  return result;
}

int digits_of_step(double step) { return std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9))); }

double Chart::x(double value) const { return left + width * (value - x_axis.low) / (x_axis.high - x_axis.low); }
double Chart::y(double value) const { return top + height * (y_axis.high - value) / (y_axis.high - y_axis.low); }

std::string Chart::axes(std::string_view title) const {
  const auto digits = [](const std::vector<double>& values) {
    return values.size() > 1 ? digits_of_step(values[1] - values[0]) : 2;
  };
  const double right = left + width, bottom = top + height;
  std::string svg = concat("<text x='", left, "' y='", top - 10, "' font-weight='bold'>", escaped(title), "</text>\n");
  const std::vector<double> rows = ticks(y_axis.low, y_axis.high, 5, y_axis.min_step);
  const std::vector<double> columns = ticks(x_axis.low, x_axis.high, 7, x_axis.min_step);
  for (const double value : rows)
    svg += concat("<line class='grid' x1='", left, "' x2='", right, "' y1='", fixed(y(value), 1), "' y2='",
                  fixed(y(value), 1), "' stroke='#ddd'/><text x='", left - 6, "' y='", fixed(y(value) + 4, 1),
                  "' text-anchor='end'>", fixed(value, digits(rows)), "</text>\n");
  for (const double value : columns)
    svg += concat("<line class='grid' x1='", fixed(x(value), 1), "' x2='", fixed(x(value), 1), "' y1='", bottom,
                  "' y2='", bottom + 4, "' stroke='#888'/><text x='", fixed(x(value), 1), "' y='", bottom + 17,
                  "' text-anchor='middle'>", fixed(value, digits(columns)), "</text>\n");
  return svg + concat("<text x='", left + width / 2, "' y='", bottom + 34, "' text-anchor='middle'>",
                      escaped(x_axis.label), "</text>\n");
}

std::string Chart::line(const Points& points, std::string_view colour, bool dashed) const {
  std::string places;
  for (const auto& [px, py] : points)
    places += concat(fixed(x(std::clamp(px, x_axis.low, x_axis.high)), 1), ",",
                     fixed(y(std::clamp(py, y_axis.low, y_axis.high)), 1), " ");
  return concat("<polyline fill='none' stroke-width='2' stroke-linejoin='round' stroke='", colour,
                dashed ? "' stroke-dasharray='5 4" : "", "' points='", places, "'/>\n");
}

std::string Chart::dots(const Points& points, std::string_view colour, double radius) const {
  std::string svg;
  for (const auto& [px, py] : points)
    svg += concat("<circle cx='", fixed(x(std::clamp(px, x_axis.low, x_axis.high)), 1), "' cy='",
                  fixed(y(std::clamp(py, y_axis.low, y_axis.high)), 1), "' r='", radius, "' fill='", colour, "'/>");
  return svg + "\n";
}

}  // namespace repopt_cifar
