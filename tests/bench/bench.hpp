// Shared by all benchmarks: options, timing, memory, and output of one JSON object a line.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "repopt/nn/models/vgg_config.hpp"

namespace repopt_bench {

using Json = nlohmann::ordered_json;

/// The options of the command line. Each benchmark reads those that concern it.
struct Options {
  std::string model, mode = "rep", layout = "hwio", conv_algorithm = "fastest", onnx;
  std::size_t batch = 128, rounds = 5;
  int threads = 1;
  bool json = false;
};

/// Prints an object on one line: as JSON if options.json is set, otherwise as text.
void print(const Options& options, const Json& object);

/// Measures whole training steps of a network on random images.
void bench_step(const Options& options);

/// Measures the forward pass of a deployed network on random images.
void bench_inference(const Options& options);

/// Measures optimizer steps on a network's parameters, and the memory traffic that bounds their speed.
void bench_optimizer(const Options& options);

/// Measures the three passes of single convolutions.
void bench_conv(const Options& options);

/// Height and width of a network's pictures: CIFAR's or ImageNet's.
inline std::size_t picture_size(const repopt::nn::VggConfig& config) {
  return config.name.starts_with("cifar") ? 32 : 224;
}

/// Memory of this process in MiB: now, and the largest so far.
double rss_mb();
double peak_rss_mb();

/// Milliseconds that `run` takes.
double milliseconds(auto run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// The median, as statistics.median() in Python: of an even number of values, the mean of the two in the middle.
inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Fills `values` with normal random numbers that are the same in every run.
inline void fill_random(std::span<float> values, float scale = 1) {
  std::minstd_rand engine(std::uint32_t(values.size()));
  std::normal_distribution<float> normal(0, scale);
  for (float& value : values) value = normal(engine);
}

}  // namespace repopt_bench
