// The section of study.html about networks in integers.
#include <map>
#include <string>
#include <vector>

#include "charts/svg.hpp"
#include "options.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/int8_charts.hpp"
#include "study/sections.hpp"
#include "study/shown.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

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
                "that of each layer's output, per tensor, with the errors of all layers before it.")) +
            pictures;
  return section(summary.model() + "-int8", "Accuracy in integers", html);
}

}  // namespace repopt_cifar::study
