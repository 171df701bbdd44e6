#include "training/report.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

#include "repopt/base/parallel.hpp"
#include "training/processes.hpp"
#include "training/run_file.hpp"
#include "training/run_options.hpp"

namespace repopt_cifar {

namespace {

double median_speed(const std::vector<EpochMetrics>& metrics) {
  std::vector<double> speeds;
  for (const EpochMetrics& m : metrics) speeds.push_back(m.images_per_second);
  const auto middle = speeds.begin() + std::ptrdiff_t(speeds.size() / 2);
  std::ranges::nth_element(speeds, middle);
  return *middle;
}

Json to_json(const repopt::nn::ScaleDiagnostics& scales) {
  return {{"count", scales.count},       {"mean", scales.mean},
          {"movement", scales.movement}, {"identity_movement", scales.identity_movement},
          {"negative", scales.negative}, {"near_zero", scales.near_zero}};
}

}  // namespace

void print_epoch(const EpochMetrics& m, std::size_t epochs) {
  std::fprintf(stderr,
               "epoch %zu/%zu  lr %.4f  train loss %.4f  accuracy %.2f %%  test loss %.4f  accuracy %.2f %%  "
               "%.0f images/s  %.1f s\n",
               m.epoch, epochs, m.lr, m.train_loss, 100 * m.train_accuracy, m.test_loss, 100 * m.test_accuracy,
               m.images_per_second, m.seconds);
}

void print_scales(const repopt::nn::ScaleDiagnostics& scales) {
  std::fprintf(stderr,
               "scales: %zu, mean %.3f; those of convolutions moved by %.1f %%, identities by %.1f %%; %zu negative, "
               "%zu near zero\n",
               scales.count, scales.mean, 100 * scales.movement, 100 * scales.identity_movement, scales.negative,
               scales.near_zero);
  if (scales.movement < 0.05)
    std::fprintf(stderr, "warning: the scales hardly moved: a longer search would say more\n");
}

Json run_result(const TrainOptions& options, const PictureSets& pictures, const RunSteps& steps,
                const RunSummary& summary) {
  const std::vector<EpochMetrics>& metrics = summary.progress.metrics;
  double seconds = 0;
  for (const EpochMetrics& m : metrics) seconds += m.seconds;
  const auto& processor = summary.processor_seconds_per_epoch;
  Json json{{"command", "train"},
            {"mode", options.mode},
            {"model", options.model},
            {"prior", trains_folded(options.mode) ? Json(options.prior) : Json()},
            {"data", pictures.train.name},
            {"optimizer", std::string(summary.optimizer)},
            {"precision", options.precision},
            {"scales", options.scales},
            {"initialization", options.initialization},
            {"grad_mult", options.grad_mult},
            {"seed", options.seed},
            {"epochs", options.epochs},
            {"classes", pictures.train.classes},
            {"train_images", steps.images},
            {"batch_size", steps.batch_size},
            {"test_images", pictures.test.size()},
            {"parameters", summary.parameters},
            {"test_accuracy", metrics.back().test_accuracy},
            {"train_loss", metrics.back().train_loss},
            {"images_per_second", median_speed(metrics)},
            {"seconds", seconds},
            {"processor_seconds_per_epoch", processor ? Json(*processor) : Json()},
            {"peak_rss_mb", peak_rss_mb()},
            {"threads", repopt::thread_count()},
            {"processes", Processes::size()},
            {"out", options.out.string()}};
  for (const RunOption& option : run_options(options))
    if (!json.contains(option.name)) json[option.name] = option.value;
  json["earlier_epochs"] = summary.progress.earlier_epochs;
  if (summary.scales) json["scale_diagnostics"] = to_json(*summary.scales);
  return json;
}

}  // namespace repopt_cifar
