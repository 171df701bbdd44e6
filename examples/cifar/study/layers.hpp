// layers.csv: why each layer of a network is easy or hard to quantize.
#pragma once

#include <array>
#include <filesystem>
#include <iterator>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "quantization/sweep_ways.hpp"
#include "study/plan.hpp"

namespace repopt_cifar::study {

/// One layer of a run's network, with batch norms folded.
struct LayerResult {
  RunKey run{};
  std::string layer = "";
  double weight_std = 0;        ///< the standard deviation of the kernel's weights
  double weight_largest = 0;    ///< the largest absolute weight
  double diagonal_largest = 0;  ///< the largest absolute weight of the centre diagonal; 0 if the kernel has none
  double identity_scale = 0;    ///< the largest |gamma| / sigma of the identity's batch norm; 0 if there is none
  double output_largest = 0;    ///< the largest output on the pictures of the calibration
  /// The output's signal to noise in dB, with the errors of earlier layers, for each of sweep_bits: per tensor, with
  /// ranges by mean squared error.
  std::array<double, std::size(sweep_bits)> output_sqnr{};

  bool operator==(const LayerResult&) const = default;
};

/// Reads the layers from the JSON of `repopt-cifar sweep`. Throws nlohmann::json::exception or std::runtime_error if it
/// is wrong.
std::vector<LayerResult> layers_of(const RunKey& run, const nlohmann::json& sweep);

/// Writes layers as the text of layers.csv.
std::string to_csv(const std::vector<LayerResult>& layers);

/// Reads OUT/layers.csv. Returns nothing if there is no such file. Throws std::runtime_error that names a wrong line.
std::vector<LayerResult> read_layers(const std::filesystem::path& out);

}  // namespace repopt_cifar::study
