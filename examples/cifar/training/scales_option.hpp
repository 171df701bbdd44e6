// What --scales can say.
#pragma once

#include <string>

#include "repopt/core/scales.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"

namespace repopt_cifar {

/// Scales for the network: "sqrt", "ones", or those of a file. Throws std::runtime_error if the file is none, or its
/// scales are not the network's.
template <class T>
repopt::Scales<T> named_scales(const std::string& scales, const repopt::nn::VggConfig& config) {
  if (scales == "sqrt") return repopt::nn::sqrt_scales<T>(config);
  if (scales == "ones") return repopt::nn::ones_scales<T>(config);
  return repopt::formats::load_scales<T>(scales, repopt::nn::scale_lengths(config));
}

}  // namespace repopt_cifar
