// `repopt-cifar eval`.
#include <cstdio>

#include "classify.hpp"
#include "commands.hpp"
#include "network.hpp"
#include "progress.hpp"

namespace repopt_cifar {

Json evaluate(const EvalOptions& options) {
  set_threads(options.threads);
  auto [info, model] = load_network(options.weights);
  const PictureSets pictures = PictureSets::load(options.data, options.limit);
  require_same_classes(info, pictures.test);
  const double start = seconds_now();
  const Classified test = classify(model, pictures.test, info.normalisation, options.batch_size);
  const double seconds = seconds_now() - start, images = double(pictures.test.labels.size());
  std::fprintf(stderr, "%s, mode %s: %.2f %% of %.0f test pictures right\n", info.model.c_str(), info.mode.c_str(),
               100 * test.accuracy, images);
  return {{"command", "eval"},
          {"mode", info.mode},
          {"model", info.model},
          {"deployed", info.deployed},
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
