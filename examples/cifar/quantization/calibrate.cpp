#include "quantization/calibrate.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "data/pictures.hpp"
#include "repopt/base/error.hpp"
#include "repopt/nn/models/builders.hpp"

namespace repopt_cifar {

namespace {

namespace quant = repopt::quant;
using Images = repopt::nn::Tensor<float>;

/// Returns the choice that is called `name`. Throws std::invalid_argument that lists the choices if there is none.
template <class Choice>
Choice choice_of(std::string_view option, std::string_view name, std::initializer_list<Choice> choices) {
  std::string list;
  for (const Choice choice : choices) {
    if (to_string(choice) == name) return choice;
    list.append(list.empty() ? "" : ", ").append(to_string(choice));
  }
  throw std::invalid_argument(repopt::concat(option, " is '", name, "', it must be one of ", list));
}

/// Returns batches of `count` training pictures, which options.seed chooses, without augmentation.
std::vector<Images> calibration_batches(const repopt::io::ImageDataset& pictures, std::size_t count,
                                        const QuantizeOptions& options,
                                        const repopt::io::ChannelStatistics& normalisation) {
  const std::vector<std::size_t> order = shuffled(pictures.size(), options.seed, 0);
  std::vector<Images> batches;
  std::vector<int> unused;
  for (std::size_t first = 0; first < count; first += options.batch_size)
    write_batch(
        pictures, std::span(order).subspan(first, std::min(options.batch_size, count - first)), normalisation,
        [](std::size_t) { return Augmentation{}; }, batches.emplace_back(), unused);
  return batches;
}

}  // namespace

CalibratedNetwork calibrate(const Network& network, const repopt::io::ImageDataset& pictures,
                            const QuantizeOptions& options) {
  const auto scheme = choice_of("--scheme", options.scheme, {quant::Scheme::per_tensor, quant::Scheme::per_channel});
  const auto calibration = choice_of("--calibration", options.calibration,
                                     {quant::Calibration::min_max, quant::Calibration::percentile,
                                      quant::Calibration::mse, quant::Calibration::entropy});
  repopt::require(calibration == quant::Calibration::percentile || !options.percentile,
                  "--percentile is for --calibration percentile, not ", options.calibration);
  repopt::require(options.batch_size > 0 && options.calibration_images > 0,
                  "--batch-size and --calibration-images must be positive, they are ", options.batch_size, " and ",
                  options.calibration_images);
  for (const int bits : {options.weight_bits, options.activation_bits})
    repopt::require(bits >= 4 && bits <= 8, "--weight-bits and --activation-bits must be 4 to 8, they are ",
                    options.weight_bits, " and ", options.activation_bits);
  repopt::require(options.split_identity == 0 || options.split_identity == 8 || options.split_identity == 16,
                  "--split-identity must have 8 or 16 bits, it has ", options.split_identity);
  auto plain = repopt::nn::deployed(network.model);
  const std::size_t count = std::min(options.calibration_images, pictures.size());
  auto batches = calibration_batches(pictures, count, options, network.info.normalisation);
  auto histograms = quant::activation_histograms(plain, batches);
  auto activations = quant::calibrated(histograms, calibration, options.percentile.value_or(quant::default_percentile),
                                       options.activation_bits);
  const quant::WeightOptions weights{scheme, options.weight_bits, options.split_identity};
  std::fprintf(stderr, "%s, mode %s, %s, %s of %zu pictures\n", network.info.model.c_str(), network.info.mode.c_str(),
               options.scheme.c_str(), options.calibration.c_str(), count);
  return {std::move(plain), std::move(batches), std::move(histograms), std::move(activations), weights};
}

}  // namespace repopt_cifar
