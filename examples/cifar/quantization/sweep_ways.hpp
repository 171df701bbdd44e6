// The ways in which `repopt-cifar sweep` quantizes a network.
#pragma once

#include <algorithm>
#include <vector>

#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/quant/calibration.hpp"
#include "repopt/quant/weight_rounding.hpp"

namespace repopt_cifar {

/// A way to quantize a network. Weights and activations have the same bits.
struct SweepWay {
  repopt::quant::Scheme scheme;
  repopt::quant::Calibration calibration;
  int bits;
  int split_identity = 0;  ///< bits of the centre diagonals that are split off kernels; 0: none are
};

/// The bits of the sweep.
inline constexpr int sweep_bits[] = {8, 7, 6, 5, 4};

/// The bits of centre diagonals that the sweep splits off.
inline constexpr int sweep_split_identity = 8;

/// Whether the network has kernels with a centre diagonal, which can be split off.
inline bool has_centre_diagonals(const repopt::nn::VggConfig& config) {
  return std::ranges::any_of(config.block_specs(),
                             [](const auto& spec) { return repopt::quant::has_centre_diagonal(spec.shape); });
}

/// All ways of the sweep: both schemes, ranges by minimum and maximum and by mean squared error, and all sweep_bits.
/// For networks whose kernels have a centre diagonal, also the split of these diagonals: per tensor, where they cost
/// the other weights most, with ranges by mean squared error.
inline std::vector<SweepWay> sweep_ways(const repopt::nn::VggConfig& config) {
  using namespace repopt::quant;
  std::vector<SweepWay> ways;
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel})
    for (const Calibration calibration : {Calibration::min_max, Calibration::mse})
      for (const int bits : sweep_bits) ways.push_back({scheme, calibration, bits});
  if (has_centre_diagonals(config))
    for (const int bits : sweep_bits)
      ways.push_back({Scheme::per_tensor, Calibration::mse, bits, sweep_split_identity});
  return ways;
}

}  // namespace repopt_cifar
