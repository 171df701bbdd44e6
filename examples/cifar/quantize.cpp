// `repopt-cifar quantize`: a trained network in integers of 4 to 8 bits, and how much accuracy this costs.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "formats/output_file.hpp"
#include "quantization/calibrate.hpp"
#include "quantization/fine_tune.hpp"
#include "quantization/layer_table.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/quant/layer_report.hpp"
#include "training/classify.hpp"
#include "training/network.hpp"
#include "training/progress.hpp"
#include "training/run_folder.hpp"

namespace repopt_cifar {

namespace {

namespace quant = repopt::quant;

/// A network in floats and in integers, and how both classify the test pictures.
struct Comparison {
  quant::QuantizedVgg quantized;
  Classified floats, int8;
  double seconds = 0;  ///< the time that the network in integers took

  /// The share of the pictures for which both predict the same class.
  double agreement() const {
    std::size_t same = 0;
    for (std::size_t i = 0; i < int8.predictions.size(); ++i) same += int8.predictions[i] == floats.predictions[i];
    return double(same) / double(int8.predictions.size());
  }
};

Comparison compare(CalibratedNetwork& network, const repopt::io::ImageDataset& pictures,
                   const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size) {
  quant::QuantizedVgg quantized(network.plain, network.activations, network.weights);
  Classified floats = classify(network.plain, pictures, normalisation, batch_size);
  const double start = seconds_now();
  Classified int8 = classify(quantized, pictures, normalisation, batch_size);
  const double seconds = seconds_now() - start;
  std::fprintf(stderr, "float %.2f %%, INT8 %.2f %% of %zu test pictures right\n", 100 * floats.accuracy,
               100 * int8.accuracy, pictures.size());
  return {std::move(quantized), std::move(floats), std::move(int8), seconds};
}

}  // namespace

Json quantize(const QuantizeOptions& options) {
  const double lr = options.lr.value_or(1e-3);
  repopt::require(lr > 0 && std::isfinite(lr), "--lr must be > 0 and finite, it is ", lr);
  repopt::require((options.scales.empty() && !options.lr) || options.fine_tune_epochs > 0,
                  options.lr ? "--lr" : "--scales", " is used in fine-tuning only, and --fine-tune-epochs is 0");
  set_threads(options.threads);
  if (!options.out.empty()) {
    std::vector<std::filesystem::path> inputs = pictures_in(options.data);
    inputs.insert(inputs.end(), {options.weights, options.scales});
    require_output(options.out, inputs);
    require_outside_runs(options.out);
  }
  Network network = load_network(options.weights);
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
        repopt::nn::deployed(fine_tuned(network, calibrated.activations, calibrated.weights, pictures.train,
                                        {.epochs = options.fine_tune_epochs,
                                         .batch_size = options.batch_size,
                                         .lr = lr,
                                         .seed = options.seed,
                                         .scales = options.scales}));
    calibrated.histograms = quant::activation_histograms(calibrated.plain, calibrated.batches);
    result = compared();
  }
  auto reports =
      quant::layer_reports(calibrated.plain, result.quantized, calibrated.histograms, calibrated.batches.front());
  quant::add_identity_scales(reports, network.model);
  print(reports);
  if (!options.out.empty()) save_quantized_network(options.out, info, result.quantized);

  Json json{{"command", "quantize"},
            {"mode", info.mode},
            {"model", info.model},
            {"data", pictures.test.name},
            {"scheme", options.scheme},
            {"calibration", options.calibration},
            {"weight_bits", options.weight_bits},
            {"activation_bits", options.activation_bits},
            {"split_identity", options.split_identity},
            {"calibration_images", std::min(options.calibration_images, pictures.train.size())},
            {"test_images", pictures.test.size()},
            {"float_accuracy", result.floats.accuracy},
            {"int8_accuracy", result.int8.accuracy},
            {"agreement", result.agreement()},
            {"images_per_second", double(pictures.test.size()) / result.seconds},
            {"seed", options.seed},
            {"fine_tune_epochs", options.fine_tune_epochs}};
  if (options.fine_tune_epochs > 0) {
    json["before_fine_tuning"] = before;
    json["lr"] = lr;
    json["batch_size"] = options.batch_size;
    json["scales"] = options.scales.empty() ? "as trained" : options.scales;
  }
  json["layers"] = to_json(reports);
  if (!options.out.empty()) json["out"] = options.out.string();
  return json;
}

}  // namespace repopt_cifar
