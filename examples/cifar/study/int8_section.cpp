// The section of study.html about networks in integers.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "options.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/plot.hpp"
#include "study/sections.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// The runs of a variant that the page shows: those with its best learning rate.
struct Shown {
  const Variant* variant;
  const Group* group;

  bool has(const RunKey& run) const {
    return std::ranges::find(group->runs(), run, &RunResult::key) != group->runs().end();
  }
};

std::vector<Shown> shown_runs(const ModelSummary& summary) {
  std::vector<Shown> shown;
  for (const Variant& variant : all_variants())
    if (const Group* const group = summary.best(variant.name, summary.usual_epochs()))
      shown.push_back({&variant, group});
  return shown;
}

/// Returns the rows of the table of 8 bits: a row for each variant and way.
std::vector<Cells> rows_of_8_bits(const std::vector<Shown>& shown, const std::vector<Int8Result>& results) {
  std::vector<Cells> rows;
  for (const Shown& runs : shown) {
    std::map<std::string, std::vector<Int8Result>> ways;  // by scheme and calibration
    for (const Int8Result& result : results)
      if (runs.has(result.key.run) && result.key.weight_bits == 8 && result.key.activation_bits == 8 &&
          result.key.split_identity == 0)
        ways[concat(result.key.scheme, ", ", result.key.calibration)].push_back(result);
    for (const auto& [way, measured] : ways) {
      const auto spread = [&, &of = measured](auto value) {
        std::vector<double> numbers;
        for (const Int8Result& result : of) numbers.push_back(value(result));
        return Spread::of(numbers);
      };
      const Spread drop = spread([](const Int8Result& r) { return r.float_accuracy - r.int8_accuracy; });
      rows.push_back({concat(runs.variant->name, ", ", escaped(way)), concat(measured.size()),
                      percent(spread([](const Int8Result& r) { return r.float_accuracy; }).mean),
                      percent(spread([](const Int8Result& r) { return r.int8_accuracy; }).mean), percent(drop.mean),
                      concat(percent(drop.low), " – ", percent(drop.high))});
    }
  }
  return rows;
}

/// Numbers of a variant's seeds at several places of the horizontal axis.
struct SeedsLine {
  const Variant* variant;
  bool is_split;  ///< whether they are those of networks whose centre diagonals were split off
  std::map<double, std::vector<double>> numbers;
};

/// Draws a line through the means of each variant. With `bars`, draws a bar from the lowest to the highest seed at each
/// place, and the lines a little beside each other, so that their bars can be told apart.
std::string lines_picture(std::string title, const std::vector<SeedsLine>& lines, const Axis& x_axis, bool bars) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const SeedsLine& line : lines)
    for (const auto& [x, numbers] : line.numbers) {
      const Spread spread = Spread::of(numbers);
      low = std::min(low, spread.low);
      high = std::max(high, spread.high);
    }
  Plot plot(std::move(title), x_axis, round_axis(low, high));
  const double distance = bars ? 0.01 * (x_axis.high - x_axis.low) : 0;
  std::string names;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto& [variant, is_split, numbers_of_places] = lines[i];
    const bool dashed = is_split || is_dashed(*variant);
    const double moved = distance * (double(i) - double(lines.size() - 1) / 2);
    Plot::Points means;
    for (const auto& [x, numbers] : numbers_of_places) {
      const Spread spread = Spread::of(numbers);
      means.emplace_back(x + moved, spread.mean);
      if (bars) plot.line({{x + moved, spread.low}, {x + moved, spread.high}}, variant->colour);
    }
    plot.line(means, variant->colour, dashed);
    plot.dots(means, variant->colour);
    names += legend_item(concat(variant->name, is_split ? ", diagonals split off" : ""), variant->colour, dashed);
  }
  return plot.html(concat("<ul class='legend'>", names, "</ul>\n"));
}

/// Returns the results of a variant's runs for one scheme and split, with ranges by mean squared error and as many bits
/// for activations as for weights.
std::vector<Int8Result> results_of(const Shown& runs, const std::vector<Int8Result>& results, std::string_view scheme,
                                   int split) {
  std::vector<Int8Result> chosen;
  std::ranges::copy_if(results, std::back_inserter(chosen), [&](const Int8Result& result) {
    const Int8Key& key = result.key;
    return runs.has(key.run) && key.scheme == scheme && key.calibration == "mse" &&
           key.weight_bits == key.activation_bits && key.split_identity == split;
  });
  return chosen;
}

/// Returns the bits of split-off diagonals that the pictures show for a variant; 0 stands for no split. More lines
/// would make the pictures hard to read, so only networks with the prior have a second one.
std::vector<int> splits_shown(const Variant& variant) {
  if (variant.mode == "rep" || variant.mode == "hyper_search") return {0, sweep_split_identity};
  return {0};
}

/// Returns the picture of accuracy against bits for one scheme. Variants of splits_shown()
/// have a second line with the split of centre diagonals, if it was measured. Returns "" if nothing was measured at
/// other bits than 8.
std::string bits_picture(const std::vector<Shown>& shown, const std::vector<Int8Result>& results,
                         std::string_view scheme) {
  std::vector<SeedsLine> lines;
  bool has_other_bits = false;
  for (const Shown& runs : shown)
    for (const int split : splits_shown(*runs.variant)) {
      SeedsLine line{runs.variant, split > 0, {}};
      for (const Int8Result& result : results_of(runs, results, scheme, split)) {
        line.numbers[result.key.weight_bits].push_back(100 * result.int8_accuracy);
        has_other_bits = has_other_bits || result.key.weight_bits != 8;
      }
      if (!line.numbers.empty()) lines.push_back(std::move(line));
    }
  if (!has_other_bits) return "";
  return lines_picture(concat("Test accuracy in %, ", scheme), lines, {3.8, 8.2, "bits of weights and activations", 1},
                       true);
}

/// Returns the picture of accuracy at 5 bits, per tensor, over accuracy in float: a dot for each variant, the mean of
/// its seeds. A dashed line leads to the same networks with their centre diagonals split off. Returns "" if 5 bits were
/// not measured.
std::string five_bits_picture(const std::vector<Shown>& shown, const std::vector<Int8Result>& results) {
  struct Dots {
    const Variant* variant;
    Plot::Points points;
  };
  std::vector<Dots> all;
  std::vector<double> x, y;
  std::vector<const Variant*> variants;
  for (const Shown& runs : shown) {
    Dots dots{runs.variant, {}};
    for (const int split : splits_shown(*runs.variant)) {
      std::vector<double> in_float, in_five_bits;
      for (const Int8Result& result : results_of(runs, results, "per-tensor", split))
        if (result.key.weight_bits == 5) {
          in_float.push_back(100 * result.float_accuracy);
          in_five_bits.push_back(100 * result.int8_accuracy);
        }
      if (in_float.empty()) continue;
      x.push_back(Spread::of(in_float).mean);
      y.push_back(Spread::of(in_five_bits).mean);
      dots.points.emplace_back(x.back(), y.back());
    }
    if (dots.points.empty()) continue;
    variants.push_back(runs.variant);
    all.push_back(std::move(dots));
  }
  if (all.empty()) return "";
  Plot plot("Test accuracy in % at 5 bits, per tensor, over that in float",
            round_axis(std::ranges::min(x), std::ranges::max(x), "in float"),
            round_axis(std::ranges::min(y), std::ranges::max(y)));
  for (const Dots& dots : all) {
    if (dots.points.size() > 1) plot.line(dots.points, dots.variant->colour, true);
    plot.dots(dots.points, dots.variant->colour);
  }
  return plot.html(legend(variants));
}

/// Returns a picture of value(layer) over the depth, without the layers where it is not finite; "" if it is nowhere.
std::string layer_picture(std::string title, const std::vector<Shown>& shown, const std::vector<LayerResult>& layers,
                          auto value) {
  std::vector<SeedsLine> lines;
  double depth = 1;
  for (const Shown& runs : shown) {
    SeedsLine line{runs.variant, false, {}};
    std::map<std::uint64_t, double> seen;  // layers of each seed so far: their order is that of the network
    for (const LayerResult& layer : layers) {
      if (!runs.has(layer.run)) continue;
      const double place = ++seen[layer.run.seed], number = value(layer);
      if (std::isfinite(number)) line.numbers[place].push_back(number);
    }
    if (line.numbers.empty()) continue;
    depth = std::max(depth, line.numbers.rbegin()->first);
    lines.push_back(std::move(line));
  }
  if (lines.empty()) return "";
  return lines_picture(std::move(title), lines, {0.5, depth + 0.5, "block, from the input on", 1}, false);
}

/// Returns the pictures of the layers, or "" if there are none.
std::string layer_pictures(const std::vector<Shown>& shown, const std::vector<LayerResult>& layers) {
  if (std::ranges::none_of(layers, [&](const LayerResult& layer) {
        return std::ranges::any_of(shown, [&](const Shown& runs) { return runs.has(layer.run); });
      }))
    return "";
  const std::size_t five = std::size_t(std::ranges::find(sweep_bits, 5) - std::begin(sweep_bits));
  return layer_picture("Largest weight / standard deviation", shown, layers,
                       [](const LayerResult& layer) { return layer.weight_largest / layer.weight_std; }) +
         layer_picture("Largest |gamma| / sigma of the identity's batch norm", shown, layers,
                       [](const LayerResult& layer) {
                         return layer.identity_scale > 0 ? layer.identity_scale
                                                         : std::numeric_limits<double>::quiet_NaN();
                       }) +
         layer_picture("Largest output on the calibration's pictures", shown, layers,
                       [](const LayerResult& layer) { return layer.output_largest; }) +
         layer_picture("Outputs at 5 bits, signal to noise in dB", shown, layers,
                       [=](const LayerResult& layer) { return layer.output_sqnr[five]; });
}

}  // namespace

std::string int8_section(const ModelSummary& summary, const std::vector<Int8Result>& results,
                         const std::vector<LayerResult>& layers) {
  const std::vector<Shown> shown = shown_runs(summary);
  const std::vector<Cells> rows = rows_of_8_bits(shown, results);
  const std::string pictures = bits_picture(shown, results, "per-tensor") +
                               bits_picture(shown, results, "per-channel") + five_bits_picture(shown, results) +
                               layer_pictures(shown, layers);
  std::string html =
      rows.empty() ? paragraph("Not run: quant.csv has no line for the networks above.")
                   : table({concat("network, kernels' scales, activations' range by ",
                                   QuantizeOptions().calibration_images, " training pictures"),
                            "seeds", "float, %", "INT8, %", "drop, points", "lowest – highest"},
                           rows) +
                         paragraph(
                             "The article reports for B1 on ImageNet: RepOpt-VGG has 78.47 in float and 75.89 in INT8, "
                             "converted RepVGG has 78.41 and 54.55.");
  if (!pictures.empty())
    html += paragraph(concat(
                "The pictures show the mean over the seeds; bars reach from the lowest seed to the highest. "
                "Activations have the range of the least mean squared error. A largest weight of many standard "
                "deviations leaves few levels to the other weights of its kernel. An identity can put such weights on "
                "its kernel's centre diagonal. A dashed line shows the network with these diagonals split off: they "
                "have a scale of their own and ",
                sweep_split_identity,
                " bits. In the picture over the accuracy in float it leads to these networks. The signal to noise is "
                "that of each "
                "layer's output, per tensor, with the errors of all layers before it.")) +
            pictures;
  return section(summary.model() + "-int8", "Accuracy in integers", html);
}

}  // namespace repopt_cifar::study
