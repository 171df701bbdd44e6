#include "study/int8_charts.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <utility>

#include "charts/chart.hpp"
#include "charts/svg.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/plot.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

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

}  // namespace

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

}  // namespace repopt_cifar::study
