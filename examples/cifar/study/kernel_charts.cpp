// The section of study.html that shows deployed kernels.
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"
#include "study/html.hpp"
#include "study/plot.hpp"
#include "study/sections.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// The kernels of the variant's run with the first seed and its best learning rate.
struct ShownKernels {
  const Variant* variant;
  std::string run;
  const KernelStatistics* shown;                   ///< the block that the page shows
  const std::vector<KernelStatistics>* of_blocks;  ///< all blocks
};

/// Returns the variants that have kernels with a histogram of the block `layer`.
std::vector<ShownKernels> shown_kernels(const ModelSummary& summary, const Records& records, const std::string& layer) {
  std::vector<ShownKernels> networks;
  for (const std::string_view name : {"repvgg", "qarepvgg", "csla", "rep-searched", "rep-sqrt", "plain"}) {
    const Group* const group = summary.best(name, summary.usual_epochs());
    if (!group) continue;
    const std::vector<KernelStatistics>& kernels = records.of(group->key().name()).kernels;
    const auto shown = std::ranges::find(kernels, layer, &KernelStatistics::block);
    if (shown != kernels.end() && !shown->histogram.empty())
      networks.push_back({&find_variant(name), group->key().name(), &*shown, &kernels});
  }
  return networks;
}

/// Returns the outline of a histogram: % of the weights per 0.01 over the weight.
Plot::Points outline(const KernelStatistics& kernel) {
  const double high = KernelStatistics::range * kernel.deviation, width = 2 * high / KernelStatistics::bins;
  Plot::Points points;
  for (std::size_t bin = 0; bin < kernel.histogram.size(); ++bin)
    for (const std::size_t edge : {bin, bin + 1})
      points.emplace_back(double(edge) * width - high,
                          100 * double(kernel.histogram[bin]) / double(kernel.weights) * 0.01 / width);
  return points;
}

std::string histogram_picture(const std::vector<ShownKernels>& networks, const std::string& layer) {
  double high = 0, most = 0;
  std::vector<const Variant*> variants;
  for (const ShownKernels& network : networks) {
    for (const auto& [weight, share] : outline(*network.shown)) {
      high = std::max(high, weight);
      most = std::max(most, share);
    }
    variants.push_back(network.variant);
  }
  Plot plot(concat("The kernels of ", layer, ": % of the weights per 0.01"), {-high, high, "weight"},
            round_axis(0, most));
  for (const ShownKernels& network : networks) plot.line(outline(*network.shown), network.variant->colour);
  return plot.html(legend(variants));
}

}  // namespace

std::string kernels_section(const ModelSummary& summary, const Records& records, const repopt::nn::BlockSpec& shown) {
  const std::vector<ShownKernels> networks = shown_kernels(summary, records, shown.name);
  std::vector<Cells> rows;
  for (const ShownKernels& network : networks) {
    std::vector<double> deviations;
    for (const KernelStatistics& kernel : *network.of_blocks) deviations.push_back(kernel.deviation);
    const Spread all = Spread::of(deviations);
    const double deviation = network.shown->deviation;
    rows.push_back({network.run, fixed(deviation, 4), fixed(network.shown->largest / deviation, 1), fixed(all.mean, 4),
                    concat(fixed(all.low, 4), " – ", fixed(all.high, 4))});
  }
  std::string html = paragraph(concat("Missing: kernels.csv has no histogram of ", shown.name, "."));
  if (!networks.empty())
    html = concat(
        paragraph(
            "Deployed kernels: batch norms are folded in, and the branches of repvgg and qarepvgg are merged into one "
            "convolution. The article reports standard deviations of 0.0066 for RepOpt-VGG-B1 and 0.0234 "
            "for RepVGG-B1, which loses far more accuracy in 8-bit integers. The histograms reach 4 standard "
            "deviations to both sides."),
        histogram_picture(networks, shown.name),
        table({"network", "s.d. of the layer", "its largest weight / s.d.", "s.d. of a block, mean",
               "lowest – highest block"},
              rows));
  return section(summary.model() + "-kernels", concat("Kernels of ", shown.name), html);
}

}  // namespace repopt_cifar::study
