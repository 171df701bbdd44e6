// `repopt-cifar sweep`: the accuracy of a trained network in integers of 8 to 4 bits, quantized in several ways.
#include <cstdio>
#include <string>
#include <vector>

#include "commands.hpp"
#include "quantization/calibrate.hpp"
#include "quantization/layer_table.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/quant/layer_report.hpp"
#include "training/classify.hpp"
#include "training/network.hpp"

namespace repopt_cifar {

namespace {

namespace quant = repopt::quant;

/// Whether the layers' signal to noise is reported for this way: with one scale, outliers of the kernels matter most.
bool is_reported(const SweepWay& way) {
  return way.scheme == quant::Scheme::per_tensor && way.calibration == quant::Calibration::mse &&
         way.split_identity == 0;
}

}  // namespace

Json sweep(const SweepOptions& options) {
  set_threads(options.threads);
  Network network = load_network(options.weights);
  const ModelInfo& info = network.info;
  const PictureSets pictures = PictureSets::load(options.data, options.limit, options.classes);
  require_same_classes(info, pictures.test);
  const QuantizeOptions defaults;
  CalibratedNetwork calibrated = calibrate(network, pictures.train, defaults);
  const auto classified = [&](auto& model) {
    return classify(model, pictures.test, info.normalisation, defaults.batch_size).accuracy;
  };
  const double float_accuracy = classified(calibrated.plain);
  Json results = Json::array(), layers = Json::array();
  for (const SweepWay& way : sweep_ways(network.model.config())) {
    const auto activations =
        quant::calibrated(calibrated.histograms, way.calibration, quant::default_percentile, way.bits);
    quant::QuantizedVgg quantized(calibrated.plain, activations, {way.scheme, way.bits, way.split_identity});
    const std::string scheme(to_string(way.scheme)), calibration(to_string(way.calibration));
    const double accuracy = classified(quantized);
    std::fprintf(stderr, "%s, %s, %d bits%s: %.2f %% (float %.2f %%)\n", scheme.c_str(), calibration.c_str(), way.bits,
                 way.split_identity > 0 ? ", centre diagonals split off" : "", 100 * accuracy, 100 * float_accuracy);
    results.push_back({{"scheme", scheme},
                       {"calibration", calibration},
                       {"weight_bits", way.bits},
                       {"activation_bits", way.bits},
                       {"split_identity", way.split_identity},
                       {"int8_accuracy", accuracy}});
    if (!is_reported(way)) continue;
    auto reports = quant::layer_reports(calibrated.plain, quantized, calibrated.histograms, calibrated.batches.front());
    quant::add_identity_scales(reports, network.model);
    layers.push_back({{"bits", way.bits}, {"layers", to_json(reports)}});
  }
  return {{"command", "sweep"},
          {"mode", info.mode},
          {"model", info.model},
          {"data", pictures.test.name},
          {"test_images", pictures.test.size()},
          {"float_accuracy", float_accuracy},
          {"results", results},
          {"layers_per_tensor_mse", layers}};
}

}  // namespace repopt_cifar
