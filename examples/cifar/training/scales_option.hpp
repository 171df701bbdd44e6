// What --scales can say.
#pragma once

#include <string>

#include "repopt/core/scales.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt_cifar {

/// Scales for a network whose blocks have the branches of `prior`: "sqrt", which is where that prior's search starts,
/// "ones", or those of a file. Throws std::runtime_error if the file is none, or its scales are not the network's.
template <class T>
repopt::Scales<T> named_scales(const std::string& scales, const repopt::nn::VggConfig& config,
                               repopt::nn::Prior prior = repopt::nn::Prior::repvgg) {
  if (scales == "sqrt") return repopt::nn::initial_scales<T>(config, prior);
  if (scales == "ones") return repopt::nn::ones_scales<T>(config, prior);
  return repopt::formats::load_scales<T>(scales, repopt::nn::scale_lengths(config, prior));
}

}  // namespace repopt_cifar
