// What the benchmarks share: options, repeated timing, memory, and one JSON object a line.
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

namespace repopt_bench {

using Json = nlohmann::ordered_json;

/// What the command line can say; each benchmark reads what concerns it.
struct Options {
  std::string model, mode = "rep", layout = "hwio", conv_algorithm = "fastest";
  std::size_t batch = 128, rounds = 5;
  int threads = 1;
  bool json = false;
};

/// Prints an object: as JSON on one line, or for a person.
void print(const Options& options, const Json& object);

/// Whole training steps of a network on random pictures.
void bench_step(const Options& options);

/// Optimizer steps on a network's parameters, and the memory streams that bound them.
void bench_optimizer(const Options& options);

/// The three passes of single convolutions.
void bench_conv(const Options& options);

/// Memory of this process in MiB: now, and at its largest.
double rss_mb();
double peak_rss_mb();

/// Milliseconds that `run` takes.
double milliseconds(auto run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

/// Normal numbers, the same in every run.
inline void fill_random(std::span<float> values, float scale = 1) {
  std::minstd_rand engine(std::uint32_t(values.size()));
  std::normal_distribution<float> normal(0, scale);
  for (float& value : values) value = normal(engine);
}

}  // namespace repopt_bench
