// `repopt-cifar eval`: the accuracy of a trained network, in floats or in 8-bit integers.
#include <cstdio>

#include "commands.hpp"
#include "training/classify.hpp"
#include "training/network.hpp"
#include "training/progress.hpp"

namespace repopt_cifar {

namespace {

/// Measures a network on the test pictures. classified(pictures) returns how it classifies them.
Json evaluated(const EvalOptions& options, const ModelInfo& info, const char* precision, auto classified) {
  const PictureSets pictures = PictureSets::load(options.data, options.limit, options.classes);
  require_same_classes(info, pictures.test);
  const double start = seconds_now();
  const Classified test = classified(pictures.test);
  const double seconds = seconds_now() - start, images = double(pictures.test.labels.size());
  std::fprintf(stderr, "%s, mode %s: %.2f %% of %.0f test pictures right\n", info.model.c_str(), info.mode.c_str(),
               100 * test.accuracy, images);
  return {{"command", "eval"},
          {"mode", info.mode},
          {"model", info.model},
          {"deployed", info.deployed},
          {"precision", precision},
          {"data", pictures.test.name},
          {"trained_on", info.data},
          {"epochs", info.epochs},
          {"test_images", pictures.test.labels.size()},
          {"test_accuracy", test.accuracy},
          {"test_loss", test.loss},
          {"train_loss", info.train_loss},
          {"images_per_second", images / seconds},
          {"peak_rss_mb", peak_rss_mb()}};
}

}  // namespace

Json evaluate(const EvalOptions& options) {
  repopt::require(options.batch_size > 0, "--batch-size must be positive");
  set_threads(options.threads);
  const auto classified_by = [&](auto& model, const ModelInfo& info) {
    return [&](const repopt::io::ImageDataset& pictures) {
      return classify(model, pictures, info.normalisation, options.batch_size);
    };
  };
  if (network_format(repopt::formats::Safetensors::load(options.weights)) == NetworkFormat::int8) {
    QuantizedNetwork network = load_quantized_network(options.weights);
    return evaluated(options, network.info, "int8", classified_by(network.model, network.info));
  }
  Network network = load_network(options.weights);
  return evaluated(options, network.info, "float", classified_by(network.model, network.info));
}

}  // namespace repopt_cifar
