// What the page shows of networks and scales, as numbers.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt_cifar::study {

/// The 3x3 kernels of a run's model.safetensors as deployed, by block: batch norms folded in, branches merged. Throws
/// std::runtime_error if the file is wrong.
std::map<std::string, std::vector<float>> deployed_kernels(const std::filesystem::path& weights);

/// GradMult of one kernel at two taps, each (out_channels, in_channels) row-major.
struct GradMultTaps {
  std::size_t out_channels = 0, in_channels = 0;
  std::vector<float> centre{}, corner{};
};

GradMultTaps grad_mult_taps(const repopt::nn::BlockSpec& spec, const repopt::Scales<float>& scales);

/// Root of the mean square about the mean.
double standard_deviation(const std::vector<float>& numbers);

}  // namespace repopt_cifar::study
