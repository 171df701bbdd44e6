// `repopt-cifar convert`: a trained network as plain convolutions with a bias.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "commands.hpp"
#include "formats/output_file.hpp"
#include "repopt/base/random.hpp"
#include "repopt/nn/models/builders.hpp"
#include "training/network.hpp"
#include "training/run_folder.hpp"

namespace repopt_cifar {

namespace {

using Model = repopt::nn::Vgg<float>;

/// Returns max|a - b| / max|a| of the logits of two networks for random images, or infinity if a logit is not finite.
double relative_difference(Model& a, Model& b) {
  repopt::nn::Tensor<float> images({32, 32, 32, 3});
  for (std::size_t i = 0; i < images.size(); ++i)
    images.values()[i] = float(4 * repopt::to_uniform(repopt::random_bits(0, i)) - 2);
  const auto x = a.forward(images, repopt::nn::Phase::eval).values();
  const auto y = b.forward(images, repopt::nn::Phase::eval).values();
  double difference = 0, largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i]) || !std::isfinite(y[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::abs(double(x[i]) - double(y[i])));
    largest = std::max(largest, std::abs(double(x[i])));
  }
  return difference == 0 ? 0 : difference / largest;
}

}  // namespace

Json convert(const ConvertOptions& options) {
  set_threads(options.threads);
  require_output(options.out, {options.weights});
  require_outside_runs(options.out);
  auto [info, model] = load_network(options.weights);
  Model plain = repopt::nn::deployed(model);
  const double difference = relative_difference(model, plain);
  repopt::require(difference <= 1e-5, options.weights.string(), ": the converted network's outputs would differ by ",
                  difference, " of the largest output");
  info.deployed = true;
  save_network(options.out, info, plain);
  std::fprintf(stderr, "%s, mode %s: %zu trained numbers became %zu; outputs differ by %.1e of the largest output\n",
               info.model.c_str(), info.mode.c_str(), model.parameter_count(), plain.parameter_count(), difference);
  return {{"command", "convert"},
          {"mode", info.mode},
          {"model", info.model},
          {"parameters", model.parameter_count()},
          {"deployed_parameters", plain.parameter_count()},
          {"relative_difference", difference},
          {"out", options.out.string()}};
}

}  // namespace repopt_cifar
