#include "study/plot.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr double units = 1000;

/// Returns the numbers of an axis, each at its place along `side`, in % of the picture.
std::string numbers(const std::vector<double>& values, const char* side, auto place) {
  const int digits = values.size() > 1 ? digits_of_step(values[1] - values[0]) : 2;
  std::string html;
  for (const double value : values)
    html += concat("<span class='", side, "' style='", side, ":", fixed(place(value) * 100 / units, 2), "%'>",
                   fixed(value, digits), "</span>");
  return html;
}

}  // namespace

Plot::Plot(std::string name, Axis x_axis, Axis y_axis)
    : name_(std::move(name)), x_axis_(std::move(x_axis)), y_axis_(std::move(y_axis)) {}

double Plot::x(double value) const {
  return units * (std::clamp(value, x_axis_.low, x_axis_.high) - x_axis_.low) / (x_axis_.high - x_axis_.low);
}

double Plot::y(double value) const {
  return units * (y_axis_.high - std::clamp(value, y_axis_.low, y_axis_.high)) / (y_axis_.high - y_axis_.low);
}

void Plot::line(const Points& points, std::string_view colour, bool dashed) {
  svg_ += concat("<polyline stroke='", colour, dashed ? "' stroke-dasharray='6 4" : "", "' points='");
  for (const auto& [px, py] : points) svg_ += concat(fixed(x(px), 1), ",", fixed(y(py), 1), " ");
  svg_ += "'/>\n";
}

void Plot::dots(const Points& points, std::string_view colour) {
  for (const auto& [px, py] : points) svg_ += round_dot(x(px), y(py), 5, colour);
  svg_ += "\n";
}

std::string Plot::html(std::string_view legend) const {
  const std::vector<double> rows = ticks(y_axis_.low, y_axis_.high, 6, y_axis_.min_step),
                            columns = ticks(x_axis_.low, x_axis_.high, 7, x_axis_.min_step);
  std::string grid;
  for (const double value : rows)
    grid += concat("<line class='grid' x1='0' x2='1000' y1='", fixed(y(value), 1), "' y2='", fixed(y(value), 1), "'/>");
  for (const double value : columns)
    grid += concat("<line class='grid' y1='0' y2='1000' x1='", fixed(x(value), 1), "' x2='", fixed(x(value), 1), "'/>");
  return concat("<figure>\n<figcaption>", escaped(name_), "</figcaption>\n<div class='plot'>\n",
                "<svg role='img' aria-label='", escaped(name_), "' viewBox='0 0 1000 1000' preserveAspectRatio='none'>",
                grid, "\n", svg_, "</svg>\n", numbers(rows, "top", [&](double value) { return y(value); }),
                numbers(columns, "left", [&](double value) { return x(value); }), "\n<span class='axis'>",
                escaped(x_axis_.label), "</span>\n</div>\n", legend, "</figure>\n");
}

std::string round_dot(double x, double y, double size, std::string_view colour) {
  return concat("<line class='dot' x1='", fixed(x, 1), "' x2='", fixed(x, 1), "' y1='", fixed(y, 1), "' y2='",
                fixed(y, 1), "' stroke-width='", size, "' stroke='", colour, "'/>");
}

Axis round_axis(double low, double high, std::string label) {
  if (!(high > low)) return {low - 0.5, low + 0.5, std::move(label)};
  const std::vector<double> inside = ticks(low, high, 6);
  const double step = inside.size() > 1 ? inside[1] - inside[0] : high - low;
  return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, std::move(label)};
}

}  // namespace repopt_cifar::study
