// The numbers behind the page's pictures of kernels and scales.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "study/records.hpp"

namespace repopt_cifar::study {

/// Returns the deployed 3x3 kernels of a run's model.safetensors, by block: batch norms are folded in, and branches are
/// merged. Throws std::runtime_error if the file is wrong.
std::map<std::string, std::vector<float>> deployed_kernels(const std::filesystem::path& weights);

/// GradMult of a 3x3 kernel at two taps, each (out_channels, in_channels) in row-major order.
struct GradMultTaps {
  std::size_t out_channels = 0, in_channels = 0;
  std::vector<float> centre{}, corner{};
};

/// Returns the GradMult of the block `spec` with these scales.
GradMultTaps grad_mult_taps(const repopt::nn::BlockSpec& spec, const repopt::Scales<float>& scales);

/// Measures the kernel of a block.
KernelStatistics kernel_statistics(const std::string& block, const std::vector<float>& kernel);

/// The root of the mean squared distance from the mean.
double standard_deviation(const std::vector<float>& numbers);

}  // namespace repopt_cifar::study
