// `repopt-bench inference`: the forward pass of a deployed network on random pictures.
#include <string>

#include "bench.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/io/onnx.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/repopt.hpp"

namespace repopt_bench {

namespace {

using namespace repopt;
using namespace repopt::nn;

Vgg<float> deployed_network(const VggConfig& config) {
  const Vgg<float> trained = target_from_prior<float>(config, 0, nn::sqrt_scales<float>(config));
  return deployed(trained);
}

/// Mean and standard deviation of the pictures. The exported network normalises its pictures, so the measured one does,
/// too.
constexpr float mean = 0.5f, standard_deviation = 0.25f;

/// Writes the network as ONNX, so that ONNX Runtime can be measured on the same one.
void export_network(const Vgg<float>& model, std::size_t size, const std::string& path) {
  const std::size_t channels = model.config().in_channels;
  formats::write_file(path, io::onnx_model(model, {.height = size,
                                                   .width = size,
                                                   .mean = std::vector<double>(channels, mean),
                                                   .std = std::vector<double>(channels, standard_deviation)}));
}

}  // namespace

void bench_inference(const Options& options) {
  const double start_mb = rss_mb();
  VggConfig config = vgg_preset(options.model.empty() ? "cifar-vgg" : options.model);
  if (options.conv_algorithm == "plain") config.algorithm = ConvAlgorithm::plain;
  const std::size_t size = picture_size(config);
  Vgg<float> model = deployed_network(config);
  if (!options.onnx.empty()) export_network(model, size, options.onnx);

  Tensor<float> images({options.batch, size, size, config.in_channels}), normalised(images.shape());
  fill_random(images.values());
  std::vector<double> times;
  for (std::size_t round = 0; round <= options.rounds; ++round) {
    const double ms = milliseconds([&] {
      for (std::size_t i = 0; i < images.size(); ++i)
        normalised.values()[i] = (images.values()[i] - mean) / standard_deviation;
      model.forward(normalised, Phase::eval);
    });
    if (round > 0) times.push_back(ms);  // the first pass allocates memory
  }
  const double ms = median(times);
  print(options, {{"bench", "inference"},
                  {"model", config.name},
                  {"batch", options.batch},
                  {"threads", thread_count()},
                  {"conv_algorithm", options.conv_algorithm},
                  {"images_per_second", 1e3 * double(options.batch) / ms},
                  {"milliseconds_median", ms},
                  {"peak_rss_mb", peak_rss_mb() - start_mb}});
}

}  // namespace repopt_bench
