// The ways in which `repopt-cifar sweep` quantizes a network.
#pragma once

#include <vector>

#include "repopt/quant/calibration.hpp"
#include "repopt/quant/weight_rounding.hpp"

namespace repopt_cifar {

/// A way to quantize a network. Weights and activations have the same bits.
struct SweepWay {
  repopt::quant::Scheme scheme;
  repopt::quant::Calibration calibration;
  int bits;
};

/// The bits of the sweep.
inline constexpr int sweep_bits[] = {8, 7, 6, 5, 4};

/// All ways of the sweep: both schemes, ranges by minimum and maximum and by mean squared error, and all sweep_bits.
inline std::vector<SweepWay> sweep_ways() {
  using namespace repopt::quant;
  std::vector<SweepWay> ways;
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel})
    for (const Calibration calibration : {Calibration::min_max, Calibration::mse})
      for (const int bits : sweep_bits) ways.push_back({scheme, calibration, bits});
  return ways;
}

}  // namespace repopt_cifar
