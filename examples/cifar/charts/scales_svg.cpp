#include "charts/scales_svg.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar {

using repopt::concat;
using repopt::ScaleName;

namespace {

constexpr double margin = 12, row_height = 18, character_width = 7.2, bold_width = 8.2, title_width = 9.6;
constexpr double axis_width = 104, count_width = 40, smallest_width = 420, max_width = 760;
constexpr const char *const blue = colours[0], *const orange = colours[1];

std::string text(double x, double y, std::string_view content, std::string_view attributes = "") {
  return concat("<text x='", fixed(x, 1), "' y='", fixed(y, 1), "' ", attributes, ">", escaped(content), "</text>\n");
}

std::string line(double x1, double y1, double x2, double y2, std::string_view colour, double width) {
  return concat("<line x1='", fixed(x1, 1), "' y1='", fixed(y1, 1), "' x2='", fixed(x2, 1), "' y2='", fixed(y2, 1),
                "' stroke='", colour, "' stroke-width='", width, "'/>");
}

/// The axis of every column. It covers 0 and all finite values, and has a few round ticks.
struct ScaleAxis {
  double low = 0, high = 0, step = 1;

  explicit ScaleAxis(const std::vector<ScaleSummary>& scales) {
    for (const ScaleSummary& scale : scales)
      if (std::isfinite(scale.mean)) {
        low = std::min(low, scale.min);
        high = std::max(high, scale.max);
      }
    if (low == high) high = 1;
    const double least = (high - low) / 4, power = std::pow(10, std::floor(std::log10(least)));
    for (const double digit : {10, 5, 2, 1})
      if (digit * power >= least) step = digit * power;
  }

  double x(double value) const { return axis_width * (value - low) / (high - low); }

  std::vector<double> ticks() const {
    std::vector<double> values;
    for (double i = std::ceil(low / step); i * step <= high; ++i) values.push_back(i * step + 0.0);  // no -0
    return values;
  }

  std::string label(double value) const { return fixed(value, std::max(0, int(-std::floor(std::log10(step) + 1e-9)))); }
};

/// Returns the kinds of scale in the order of their first use. If there are more than three, returns a single column
/// without a name.
std::vector<std::string> column_names(const std::vector<ScaleSummary>& scales) {
  constexpr std::size_t most = 3;
  std::vector<std::string> kinds;
  for (const ScaleSummary& scale : scales)
    if (const std::string kind(ScaleName(scale.name).kind); std::ranges::find(kinds, kind) == kinds.end())
      kinds.push_back(kind);
  return kinds.size() <= most ? kinds : std::vector<std::string>{""};
}

/// The row and the column in which a scale is drawn.
struct Place {
  std::string row, column;

  Place(const std::string& name, const std::vector<std::string>& columns) : row(name) {
    const ScaleName parts(name);
    if (std::ranges::find(columns, parts.kind) == columns.end()) return;
    row = parts.layer;
    column = parts.kind;
  }
};

std::size_t longest(const std::vector<std::string>& texts) {
  return std::ranges::max_element(texts, {}, &std::string::size)->size();
}

/// Draws one scale: its range, the negative part of the range, its mean, and the number of its negative values.
std::string cell(const ScaleSummary& scale, const ScaleAxis& axis, double left, double y) {
  std::string svg = concat("<g><title>", escaped(scale.name), ": ", scale.length, " values, mean ",
                           fixed(scale.mean, 4), ", min ", fixed(scale.min, 4), ", max ", fixed(scale.max, 4), ", ",
                           scale.negative, " negative, ", scale.not_finite, " not finite</title>");
  if (std::isfinite(scale.mean)) {
    const auto x = [&](double value) { return left + axis.x(value); };
    svg += line(x(scale.min), y, x(scale.max), y, blue, 3);
    if (scale.min < 0) svg += line(x(scale.min), y, x(std::min(scale.max, 0.0)), y, orange, 3);
    svg += line(x(scale.mean), y - 6, x(scale.mean), y + 6, "currentColor", 2);
  }
  const std::string count = scale.not_finite > 0 ? "NaN" : scale.negative > 0 ? concat(scale.negative) : "";
  if (!count.empty()) svg += text(left + axis_width + 6, y + 4.5, count, concat("fill='", orange, "' font-size='12'"));
  return svg + "</g>\n";
}

}  // namespace

std::string scales_svg(const std::string& title, const std::vector<std::string>& notes,
                       const std::vector<ScaleSummary>& scales) {
  const std::vector<std::string> columns = column_names(scales);
  const ScaleAxis axis(scales);
  std::vector<std::string> rows;
  for (const ScaleSummary& scale : scales)
    if (const Place place(scale.name, columns); rows.empty() || rows.back() != place.row) rows.push_back(place.row);

  const double names_width = margin + character_width * double(longest(rows)) + 14;
  const double column_width = std::max(axis_width + count_width, bold_width * double(longest(columns)) + 10);
  const double width = std::max({names_width + column_width * double(columns.size()), smallest_width,
                                 2 * margin + title_width * double(title.size())});
  double y = 28;
  std::string svg = text(margin, y, title, "font-size='16' font-weight='bold'");
  for (const std::string& note : notes) svg += text(margin, y += 20, note);
  y += 24;
  svg += line(margin, y - 4, margin + 34, y - 4, blue, 3) + line(margin, y - 4, margin + 12, y - 4, orange, 3);
  svg += line(margin + 22, y - 10, margin + 22, y + 2, "currentColor", 2);
  svg += text(margin + 42, y, "smallest to largest value, mean; number of negative values", "font-size='12'");
  y += 28;
  for (std::size_t c = 0; c < columns.size(); ++c)
    svg += text(names_width + column_width * double(c), y, columns[c], "font-weight='bold'");

  const double top = y + 28, bottom = top + row_height * double(rows.size());
  for (std::size_t c = 0; c < columns.size(); ++c)
    for (const double tick : axis.ticks()) {
      const double x = names_width + column_width * double(c) + axis.x(tick);
      svg += line(x, top - 4, x, bottom, tick == 0 ? "#888" : "#ddd", 1);
      for (const double label_y : {top - 9, bottom + 14})
        svg += text(x, label_y, axis.label(tick), "text-anchor='middle' font-size='11' fill='#555'");
    }
  for (std::size_t r = 0, s = 0; r < rows.size(); ++r) {
    y = top + row_height * (double(r) + 0.5);
    svg += line(margin, y + row_height / 2, width - margin, y + row_height / 2, "#eee", 1);
    svg += text(margin, y + 4.5, rows[r]);
    for (; s < scales.size(); ++s) {
      const Place place(scales[s].name, columns);
      if (place.row != rows[r]) break;
      const auto column = double(std::ranges::find(columns, place.column) - columns.begin());
      svg += cell(scales[s], axis, names_width + column_width * column, y);
    }
  }
  return svg_file(width, bottom + 28, max_width, svg);
}

}  // namespace repopt_cifar
