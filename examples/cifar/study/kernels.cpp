#include "study/kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "repopt/core/grad_mult.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "training/network.hpp"

namespace repopt_cifar::study {

namespace nn = repopt::nn;

std::map<std::string, std::vector<float>> deployed_kernels(const std::filesystem::path& weights) {
  const Network network = load_network(weights);
  const std::vector<nn::BlockSpec> specs = network.model.config().block_specs();
  std::map<std::string, std::vector<float>> kernels;
  for (std::size_t i = 0; i < specs.size(); ++i) kernels[specs[i].name] = network.model.blocks()[i]->fused().weight;
  return kernels;
}

GradMultTaps grad_mult_taps(const nn::BlockSpec& spec, const repopt::Scales<float>& scales) {
  const auto block = nn::prior_block(spec, scales);
  const std::vector<float> dense = repopt::GradMult<float>(block).dense();
  GradMultTaps taps{.out_channels = spec.shape.out_channels, .in_channels = spec.shape.in_channels};
  for (std::size_t out = 0; out < taps.out_channels; ++out)
    for (std::size_t in = 0; in < taps.in_channels; ++in) {
      taps.centre.push_back(dense[spec.shape.offset({.out = out, .in = in, .row = 1, .column = 1})]);
      taps.corner.push_back(dense[spec.shape.offset({.out = out, .in = in})]);
    }
  return taps;
}

KernelStatistics kernel_statistics(const std::string& block, const std::vector<float>& kernel) {
  KernelStatistics of{block, kernel.size(), standard_deviation(kernel), 0,
                      std::vector<std::size_t>(KernelStatistics::bins)};
  for (const float weight : kernel) of.largest = std::max(of.largest, double(std::abs(weight)));
  const double high = KernelStatistics::range * of.deviation;
  for (const float weight : kernel) {
    const double place = (double(weight) + high) / (2 * high) * double(KernelStatistics::bins);
    if (place >= 0 && place < double(KernelStatistics::bins)) ++of.histogram[std::size_t(place)];
  }
  return of;
}

double standard_deviation(const std::vector<float>& numbers) {
  double mean = 0, squares = 0;
  for (const float number : numbers) mean += double(number) / double(numbers.size());
  for (const float number : numbers) squares += (double(number) - mean) * (double(number) - mean);
  return std::sqrt(squares / double(numbers.size()));
}

}  // namespace repopt_cifar::study
