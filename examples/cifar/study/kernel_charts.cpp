// The sections of study.html that show scales and kernels in pictures.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "study/html.hpp"
#include "study/kernels.hpp"
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
std::string heat_map(const std::vector<float>& values, std::size_t rows, double high, double left, double top,
                     double size) {
  const std::size_t columns = values.size() / rows;
  std::string svg = concat("<svg x='", left, "' y='", top, "' width='", size, "' height='", size, "' viewBox='0 0 ",
                           columns, " ", rows, "' preserveAspectRatio='none' shape-rendering='crispEdges'>\n");
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
  return svg + "</svg>\n";
}

std::string grad_mult_picture(const BlockSpec& spec, const Scales<float>& scales) {
  const GradMultTaps taps = grad_mult_taps(spec, scales);
  const double high = double(std::ranges::max(taps.centre));
  constexpr double size = 160, top = 24;
  std::string svg = concat("<text x='10' y='14' font-weight='bold'>centre tap</text><text x='190' y='14' ",
                           "font-weight='bold'>each other tap</text>\n",
                           heat_map(taps.centre, taps.out_channels, high, 10, top, size),
                           heat_map(taps.corner, taps.out_channels, high, 190, top, size));
  for (int step = 0; step <= 40; ++step)
    svg +=
        concat("<rect x='", 40 + step * 7, "' y='204' width='7.1' height='10' fill='", heat_colour(step / 40.0), "'/>");
  svg += concat("<text x='34' y='213' text-anchor='end'>0</text><text x='332' y='213'>", fixed(high, 1), "</text>\n");
  return picture(360, 220, concat("GradMult of ", spec.name), svg);
}

/// Draws the mean of each scale over the channels, block by block.
std::string depth_picture(const std::vector<BlockSpec>& specs, const Scales<float>& scales,
                          const Scales<float>& start) {
  struct Line {
    const char *kind, *colour, *name;
  };
  constexpr Line lines[] = {{"scale_conv", "#0072b2", "s, of the 3x3 branch"},
                            {"scale_1x1", "#d55e00", "t, of the 1x1 branch"},
                            {"scale_identity", "#009e73", "the initial weight of the identity"}};
  const auto means = [&](const Scales<float>& from, const char* kind) {
    Chart::Points points;
    for (std::size_t i = 0; i < specs.size(); ++i)
      if (const auto found = from.find(repopt::nn::scale_name(specs[i], kind)); found != from.end()) {
        const std::vector<double> values(found->second.begin(), found->second.end());
        points.emplace_back(double(i + 1), Spread::of(values).mean);
      }
    return points;
  };
  double low = 0, high = 1;
  for (const Scales<float>* const all : {&scales, &start})
    for (const Line& line : lines)
      for (const auto& [x, y] : means(*all, line.kind)) {
        low = std::min(low, y);
        high = std::max(high, y);
      }
  const Chart chart{.x_axis = {1, double(specs.size()), "block, from the input on", 1},
                    .y_axis = {low, high * 1.05, ""}};
  std::string svg =
      concat(chart.axes("Scales, means over the channels"), chart.line(means(start, "scale_conv"), "#888", true));
  std::string names;
  for (const Line& line : lines) {
    const Chart::Points points = means(scales, line.kind);
    svg += concat(chart.line(points, line.colour), chart.dots(points, line.colour, 1.8));
    names += concat("<li><svg viewBox='0 0 24 8'><line x1='0' x2='24' y1='4' y2='4' stroke-width='3' stroke='",
                    line.colour, "'/></svg>", line.name, "</li>");
  }
  return concat("<figure>", picture(360, 245, "scales over the depth", svg), "<ul class='legend'>", names,
                "<li><svg viewBox='0 0 24 8'><line x1='0' x2='24' y1='4' y2='4' stroke-width='3' stroke='#888' "
                "stroke-dasharray='6 4'/></svg>s and t at the start of the search, sqrt(2/l)</li></ul></figure>\n");
}

/// Returns the name of the variant's run with the first seed and its best learning rate, or "" if there is none.
std::string first_run(const ModelSummary& summary, std::string_view variant, std::size_t epochs) {
  const Group* const group = summary.best(variant, epochs);
  return group ? group->key().name() : std::string();
}

/// Returns the share of the values in each of `bins` equal parts of [-high, high].
std::vector<double> histogram(const std::vector<float>& values, double high, std::size_t bins) {
  std::vector<double> shares(bins);
  for (const float value : values) {
    const double place = (double(value) + high) / (2 * high) * double(bins);
    if (place >= 0 && place < double(bins)) shares[std::size_t(place)] += 1 / double(values.size());
  }
  return shares;
}

struct Kernels {
  const Variant* variant;
  std::map<std::string, std::vector<float>> by_block;
};

std::string histogram_picture(const std::vector<Kernels>& networks, const std::string& layer) {
  double high = 0, most = 0;
  for (const Kernels& network : networks) high = std::max(high, 4 * standard_deviation(network.by_block.at(layer)));
  constexpr std::size_t bins = 60;
  std::vector<Chart::Points> outlines;
  for (const Kernels& network : networks) {
    Chart::Points& outline = outlines.emplace_back();
    const std::vector<double> shares = histogram(network.by_block.at(layer), high, bins);
    for (std::size_t bin = 0; bin < bins; ++bin)
      for (const std::size_t edge : {bin, bin + 1})
        outline.emplace_back(high * (2 * double(edge) / double(bins) - 1), 100 * shares[bin]);
    most = std::max(most, 100 * std::ranges::max(shares));
  }
  const Chart chart{.x_axis = {-high, high, "weight"}, .y_axis = {0, most * 1.05, ""}};
  std::string svg = chart.axes(concat("% of the weights of ", layer));
  std::vector<const Variant*> variants;
  for (std::size_t i = 0; i < networks.size(); ++i) {
    svg += chart.line(outlines[i], networks[i].variant->colour);
    variants.push_back(networks[i].variant);
  }
  return concat("<figure>", picture(360, 245, concat("kernels of ", layer), svg), legend(variants), "</figure>\n");
}

}  // namespace

std::string scales_section(const ModelSummary& summary, const StudyOptions& options) {
  const BlockSpec spec = shown_block(options, summary.model());
  std::string html = paragraph("Missing: no run of a Hyper-Search has a file of scales.");
  for (const Group& group : summary.groups()) {
    const std::filesystem::path file = run_folder(options, group.key().name()) / "scales.safetensors";
    if (group.key().variant != "hyper_search" || !std::filesystem::exists(file)) continue;
    const repopt::nn::VggConfig config = repopt::nn::vgg_preset(summary.model());
    const Scales<float> scales = repopt::formats::load_scales<float>(file, repopt::nn::scale_lengths(config)),
                        start = repopt::nn::sqrt_scales<float>(config);
    const repopt::nn::ScaleDiagnostics found = repopt::nn::diagnose(scales, start);
    html = concat(
        paragraph(concat(
            "From ", group.key().name(), ". The scales of the convolutions moved by ", fixed(100 * found.movement, 1),
            " %. The identities' weights, which decay, moved by ", fixed(100 * found.identity_movement, 1), " %. ",
            found.negative, " of ", found.count, " scales are negative, and ", found.near_zero,
            " have an absolute value below 0.001. In the picture of GradMult of ", spec.name,
            ", rows are output channels, columns are input channels, and both taps have the same colours.")),
        side_by_side(concat("<figure>", grad_mult_picture(spec, scales), "</figure>\n",
                            depth_picture(config.block_specs(), scales, start))));
  }
  return section(summary.model() + "-scales", concat("Searched scales, and GradMult of ", spec.name), html);
}

std::string kernels_section(const ModelSummary& summary, const StudyOptions& options) {
  const std::string layer = shown_block(options, summary.model()).name;
  std::vector<Kernels> networks;
  std::vector<Cells> rows;
  for (const std::string_view name : {"repvgg", "csla", "rep-searched", "rep-sqrt", "plain"}) {
    const std::string run = first_run(summary, name, summary.usual_epochs());
    const std::filesystem::path weights = run_folder(options, run) / "model.safetensors";
    if (run.empty() || !std::filesystem::exists(weights)) continue;
    const Kernels& network = networks.emplace_back(Kernels{&find_variant(name), deployed_kernels(weights)});
    const std::vector<float>& shown = network.by_block.at(layer);
    const double deviation = standard_deviation(shown);
    double largest = 0;
    for (const float weight : shown) largest = std::max(largest, double(std::abs(weight)));
    std::vector<double> deviations;
    for (const auto& [block, kernel] : network.by_block) deviations.push_back(standard_deviation(kernel));
    const Spread all = Spread::of(deviations);
    rows.push_back({run, fixed(deviation, 4), fixed(largest / deviation, 1), fixed(all.mean, 4),
                    concat(fixed(all.low, 4), " – ", fixed(all.high, 4))});
  }
  std::string html = paragraph("Missing: the folders of the runs with their model.safetensors.");
  if (!networks.empty())
    html = concat(
        paragraph("Deployed kernels: batch norms are folded in and, for repvgg, the branches are merged into one "
                  "convolution. The article reports standard deviations of 0.0066 for RepOpt-VGG-B1 and 0.0234 "
                  "for RepVGG-B1, which loses far more accuracy in 8-bit integers."),
        side_by_side(histogram_picture(networks, layer)),
        table({"network", "s.d. of the layer", "its largest weight / s.d.", "s.d. of a block, mean",
               "lowest – highest block"},
              rows));
  return section(summary.model() + "-kernels", concat("Kernels of ", layer), html);
}

}  // namespace repopt_cifar::study
