// quant.csv: what is left of a network's accuracy in 8-bit integers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace repopt_cifar::study {

/// A run's network, quantized by a scheme.
struct Int8Result {
  std::string model, variant;
  std::uint64_t seed = 0;
  std::string scheme;
  double float_accuracy = 0, int8_accuracy = 0;
};

/// Reads OUT/quant.csv; nothing if there is no such file. Throws std::runtime_error that names the line.
std::vector<Int8Result> read_int8_results(const std::filesystem::path& out);

}  // namespace repopt_cifar::study
