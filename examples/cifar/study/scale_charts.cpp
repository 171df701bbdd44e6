// The section of study.html that shows scales and a GradMult.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "study/html.hpp"
#include "study/kernels.hpp"
#include "study/plot.hpp"
#include "study/sections.hpp"

namespace repopt_cifar::study {

using repopt::concat;
using repopt::Scales;
using repopt::nn::BlockSpec;

namespace {

/// Returns a colour from white for 0 to dark blue for 1. There are only 40 steps, so that neighbours often have the
/// same.
std::string heat_colour(double share) {
  constexpr double steps = 40;
  const double level = std::round(std::clamp(share, 0.0, 1.0) * steps) / steps;
  const auto mix = [&](double light, double dark) { return fixed(light + (dark - light) * level, 0); };
  return concat("rgb(", mix(247, 8), ",", mix(251, 48), ",", mix(255, 107), ")");
}

/// Draws a matrix as a square. Neighbours in a row that have the same colour become one rectangle.
std::string heat_map(std::string_view title, const std::vector<float>& values, std::size_t rows, double high) {
  const std::size_t columns = values.size() / rows;
  std::string svg = concat("<figure><figcaption>", title, "</figcaption><svg viewBox='0 0 ", columns, " ", rows,
                           "' preserveAspectRatio='none' shape-rendering='crispEdges'>\n");
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t end = 0; end < columns;) {
      const std::size_t begin = end;
      const auto colour = [&](std::size_t column) {
        return heat_colour(double(values[row * columns + column]) / high);
      };
      while (end < columns && colour(end) == colour(begin)) ++end;
      svg += concat("<rect x='", begin, "' y='", row, "' width='", end - begin, "' height='1' fill='", colour(begin),
                    "'/>\n");
    }
  return svg + "</svg></figure>\n";
}

std::string grad_mult_picture(const BlockSpec& spec, const Scales<float>& scales) {
  const GradMultTaps taps = grad_mult_taps(spec, scales);
  const double high = double(std::ranges::max(taps.centre));
  constexpr int steps = 40;
  std::string colours;
  for (int step = 0; step <= steps; ++step)
    colours +=
        concat("<rect x='", step, "' y='0' width='1' height='1' fill='", heat_colour(double(step) / steps), "'/>");
  return concat("<figure role='img' aria-label='GradMult of ", spec.name, "'>\n<div class='maps'>\n",
                heat_map("GradMult, centre tap", taps.centre, taps.out_channels, high),
                heat_map("GradMult, each other tap", taps.corner, taps.out_channels, high),
                "</div>\n<div class='scale'>0<svg viewBox='0 0 ", steps + 1, " 1' preserveAspectRatio='none'>", colours,
                "</svg>", fixed(high, 1), "</div></figure>\n");
}

/// One of the lines of depth_picture(): a kind of scale.
struct ScaleLine {
  const char *kind, *colour, *name;
};

/// Returns the mean of a kind of scale over the channels, block by block.
Plot::Points means_by_block(const std::vector<BlockSpec>& specs, const Scales<float>& scales, const char* kind) {
  Plot::Points points;
  for (std::size_t i = 0; i < specs.size(); ++i)
    if (const auto found = scales.find(repopt::nn::scale_name(specs[i], kind)); found != scales.end()) {
      const std::vector<double> values(found->second.begin(), found->second.end());
      points.emplace_back(double(i + 1), Spread::of(values).mean);
    }
  return points;
}

std::string depth_picture(const std::vector<BlockSpec>& specs, const Scales<float>& scales,
                          const Scales<float>& start) {
  constexpr ScaleLine lines[] = {{"scale_conv", "#0072b2", "s, of the 3x3 branch"},
                                 {"scale_1x1", "#d55e00", "t, of the 1x1 branch"},
                                 {"scale_identity", "#009e73", "the initial weight of the identity"}};
  const Plot::Points begin = means_by_block(specs, start, "scale_conv");
  double low = begin.front().second, high = low;
  const auto cover = [&](const Plot::Points& points) {
    for (const auto& [x, y] : points) {
      low = std::min(low, y);
      high = std::max(high, y);
    }
  };
  cover(begin);
  for (const ScaleLine& line : lines) cover(means_by_block(specs, scales, line.kind));
  Plot plot("Scales over the depth, means over the channels", {1, double(specs.size()), "block, from the input on", 1},
            round_axis(low, high));
  plot.line(begin, "#888", true);
  std::string names;
  for (const ScaleLine& line : lines) {
    const Plot::Points points = means_by_block(specs, scales, line.kind);
    plot.line(points, line.colour);
    plot.dots(points, line.colour);
    names += legend_item(line.name, line.colour, false);
  }
  return plot.html(concat("<ul class='legend'>", names,
                          legend_item("s and t at the start of the search, sqrt(2/l)", "#888", true), "</ul>\n"));
}

}  // namespace

std::string scales_section(const ModelSummary& summary, const Records& records, const BlockSpec& shown) {
  std::string html = paragraph("Missing: scales.csv has no line of a Hyper-Search.");
  for (const Group& group : summary.groups()) {
    const Scales<float>& scales = records.of(group.key().name()).scales;
    if (group.key().variant != "hyper_search" || scales.empty()) continue;
    const repopt::nn::VggConfig config = repopt::nn::vgg_preset(summary.model());
    const Scales<float> start = repopt::nn::sqrt_scales<float>(config);
    const repopt::nn::ScaleDiagnostics found = repopt::nn::diagnose(scales, start);
    html = concat(
        paragraph(concat(
            "From ", group.key().name(), ". The scales of the convolutions moved by ", fixed(100 * found.movement, 1),
            " %. The identities' weights, which decay, moved by ", fixed(100 * found.identity_movement, 1), " %. ",
            found.negative, " of ", found.count, " scales are negative, and ", found.near_zero,
            " have an absolute value below 0.001. In the picture of GradMult of ", shown.name,
            ", rows are output channels, columns are input channels, and both taps have the same colours.")),
        depth_picture(config.block_specs(), scales, start), grad_mult_picture(shown, scales));
  }
  return section(summary.model() + "-scales", concat("Searched scales, and GradMult of ", shown.name), html);
}

}  // namespace repopt_cifar::study
