// `repopt-cifar eval`.
#include <cstdio>
#include <utility>

#include "classify.hpp"
#include "commands.hpp"
#include "progress.hpp"
#include "repopt/io/safetensors.hpp"
#include "repopt/nn/repopt_vgg.hpp"
#include "repopt/search/hyper_search.hpp"
#include "run_file.hpp"

namespace repopt_cifar {

Json evaluate(const EvalOptions& options) {
  set_threads(options.threads);
  const auto file = repopt::io::Safetensors::load(options.weights);
  const ModelInfo info = read_model_info(file);
  repopt::nn::RepOptVggConfig config = repopt::nn::repopt_vgg_preset(info.model);
  config.classes = info.classes;
  const repopt::nn::Mode mode = network_mode(info.mode);
  const bool csla = mode == repopt::nn::Mode::csla || mode == repopt::nn::Mode::hyper_search;
  repopt::nn::RepOptVgg<float> model(config, mode, 0,
                                     csla ? repopt::search::ones_scales<float>(config) : repopt::nn::Scales<float>{});
  repopt::io::read_model(file, model);

  const PictureSets pictures = PictureSets::load(options.data, options.limit);
  repopt::require(pictures.test.classes == info.classes, "the network tells ", info.classes, " classes apart, ",
                  pictures.test.name, " has ", pictures.test.classes);
  const double start = seconds_now();
  const Classified test = classify(model, pictures.test, info.normalisation, options.batch_size);
  const double seconds = seconds_now() - start, images = double(pictures.test.labels.size());
  std::fprintf(stderr, "%s, mode %s: %.2f %% of %.0f test pictures right\n", info.model.c_str(), info.mode.c_str(),
               100 * test.accuracy, images);
  return {{"command", "eval"},
          {"mode", info.mode},
          {"model", info.model},
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

}  // namespace repopt_cifar
