// `repopt-cifar quantize`: a trained network in 8-bit integers, and what that costs.
#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "quantization/fine_tune.hpp"
#include "quantization/quantize.hpp"
#include "repopt/nn/models/builders.hpp"
#include "training/classify.hpp"
#include "training/network.hpp"
#include "training/progress.hpp"

namespace repopt_cifar {

namespace {

namespace quant = repopt::quant;
using Images = repopt::nn::Tensor<float>;

/// The one of `choices` of this name. Throws std::invalid_argument that lists them.
template <class Choice>
Choice choice_of(std::string_view option, std::string_view name, std::initializer_list<Choice> choices) {
  std::string list;
  for (const Choice choice : choices) {
    if (to_string(choice) == name) return choice;
    list.append(list.empty() ? "" : ", ").append(to_string(choice));
  }
  throw std::invalid_argument(repopt::concat(option, " is '", name, "', it must be one of ", list));
}

/// `count` training pictures without augmentation, chosen by the seed.
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

/// A network in floats and in integers, and what they make of the test pictures.
struct Comparison {
  quant::QuantizedVgg quantized;
  Classified floats, int8;
  double seconds = 0;  ///< that the integers took

  /// The share of pictures that both call the same.
  double agreement() const {
    std::size_t same = 0;
    for (std::size_t i = 0; i < int8.predictions.size(); ++i) same += int8.predictions[i] == floats.predictions[i];
    return double(same) / double(int8.predictions.size());
  }
};

Comparison compare(CalibratedNetwork& network, const repopt::io::ImageDataset& pictures,
                   const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size) {
  quant::QuantizedVgg quantized(network.plain, network.activations, network.scheme);
  Classified floats = classify(network.plain, pictures, normalisation, batch_size);
  const double start = seconds_now();
  Classified int8 = classify(quantized, pictures, normalisation, batch_size);
  const double seconds = seconds_now() - start;
  std::fprintf(stderr, "float %.2f %%, INT8 %.2f %% of %zu test pictures right\n", 100 * floats.accuracy,
               100 * int8.accuracy, pictures.size());
  return {std::move(quantized), std::move(floats), std::move(int8), seconds};
}

void print(const std::vector<quant::LayerReport>& reports) {
  std::fprintf(stderr, "%-12s %10s %10s %9s %11s %11s %10s %9s\n", "layer", "weight std", "weight max", "SQNR dB",
               "output max", "clipped at", "outliers", "SQNR dB");
  for (const quant::LayerReport& r : reports)
    std::fprintf(stderr, "%-12s %10.4f %10.3f %9.1f %11.3f %11.3f %8.4f %% %9.1f\n", r.name.c_str(), r.weight_std,
                 r.weight_largest, r.weight_sqnr, r.output_seen, r.output_clipped_at, 100 * r.outliers, r.output_sqnr);
}

Json to_json(const std::vector<quant::LayerReport>& reports) {
  Json layers = Json::array();
  for (const quant::LayerReport& r : reports)
    layers.push_back({{"name", r.name},
                      {"weight_std", r.weight_std},
                      {"weight_largest", r.weight_largest},
                      {"weight_sqnr_db", r.weight_sqnr},
                      {"output_seen", r.output_seen},
                      {"output_clipped_at", r.output_clipped_at},
                      {"outliers", r.outliers},
                      {"output_sqnr_db", r.output_sqnr}});
  return layers;
}

}  // namespace

CalibratedNetwork calibrate(const Network& network, const repopt::io::ImageDataset& pictures,
                            const QuantizeOptions& options) {
  const auto scheme = choice_of("--scheme", options.scheme, {quant::Scheme::per_tensor, quant::Scheme::per_channel});
  const auto calibration = choice_of("--calibration", options.calibration,
                                     {quant::Calibration::min_max, quant::Calibration::percentile,
                                      quant::Calibration::mse, quant::Calibration::entropy});
  repopt::require(options.batch_size > 0 && options.calibration_images > 0,
                  "--batch-size and --calibration-images must be positive, they are ", options.batch_size, " and ",
                  options.calibration_images);
  auto plain = repopt::nn::deployed(network.model);
  const std::size_t count = std::min(options.calibration_images, pictures.size());
  auto batches = calibration_batches(pictures, count, options, network.info.normalisation);
  auto histograms = quant::activation_histograms(plain, batches);
  auto activations = quant::calibrated(histograms, calibration, options.percentile);
  std::fprintf(stderr, "%s, mode %s, %s, %s of %zu pictures\n", network.info.model.c_str(), network.info.mode.c_str(),
               options.scheme.c_str(), options.calibration.c_str(), count);
  return {std::move(plain), std::move(batches), std::move(histograms), std::move(activations), scheme};
}

Json quantize(const QuantizeOptions& options) {
  repopt::require(options.lr > 0, "--lr must be > 0, it is ", options.lr);
  repopt::require(options.scales.empty() || options.fine_tune_epochs > 0,
                  "--scales is about fine-tuning, and there is "
                  "no --fine-tune-epochs");
  set_threads(options.threads);
  const Network network = load_network(options.weights);
  const ModelInfo& info = network.info;
  const PictureSets pictures = PictureSets::load(options.data, options.limit, options.classes);
  require_same_classes(info, pictures.test);
  CalibratedNetwork calibrated = calibrate(network, pictures.train, options);
  const auto compared = [&] { return compare(calibrated, pictures.test, info.normalisation, options.batch_size); };
  Comparison result = compared();
  Json before;
  if (options.fine_tune_epochs > 0) {
    before = {{"float_accuracy", result.floats.accuracy}, {"int8_accuracy", result.int8.accuracy}};
    calibrated.plain =
        repopt::nn::deployed(fine_tuned(network, calibrated.activations, calibrated.scheme, pictures.train,
                                        {.epochs = options.fine_tune_epochs,
                                         .batch_size = options.batch_size,
                                         .lr = options.lr,
                                         .seed = options.seed,
                                         .scales = options.scales}));
    calibrated.histograms = quant::activation_histograms(calibrated.plain, calibrated.batches);
    result = compared();
  }
  const auto reports =
      quant::layer_reports(calibrated.plain, result.quantized, calibrated.histograms, calibrated.batches.front());
  print(reports);
  if (!options.out.empty()) save_quantized_network(options.out, info, result.quantized);

  Json json{{"command", "quantize"},
            {"mode", info.mode},
            {"model", info.model},
            {"data", pictures.test.name},
            {"scheme", options.scheme},
            {"calibration", options.calibration},
            {"calibration_images", std::min(options.calibration_images, pictures.train.size())},
            {"test_images", pictures.test.size()},
            {"float_accuracy", result.floats.accuracy},
            {"int8_accuracy", result.int8.accuracy},
            {"agreement", result.agreement()},
            {"images_per_second", double(pictures.test.size()) / result.seconds},
            {"fine_tune_epochs", options.fine_tune_epochs}};
  if (!before.empty()) json["before_fine_tuning"] = before;
  json["layers"] = to_json(reports);
  if (!options.out.empty()) json["out"] = options.out.string();
  return json;
}

}  // namespace repopt_cifar
