// What --scales and --identity-init can say.
#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "formats/parse_number.hpp"
#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt_cifar {

/// The weight at which --identity-init starts the identities: 1 for "one", or a number; nothing for "searched", which
/// takes the weights from the scales. Throws std::invalid_argument for any other text.
inline std::optional<double> identity_weight(std::string_view text) {
  if (text == "searched") return std::nullopt;
  if (text == "one") return 1;
  const std::optional<double> weight = parse_number<double>(std::string(text));
  repopt::require(weight && std::isfinite(*weight), "--identity-init is '", text,
                  "', it must be searched, one or a number");
  return weight;
}

/// Scales for a network whose blocks have the branches of `prior`: "sqrt", which is where that prior's search starts,
/// "ones", or those of a file. Throws std::runtime_error if the file is none, or its scales are not the network's.
template <class T>
repopt::Scales<T> named_scales(const std::string& scales, const repopt::nn::VggConfig& config,
                               repopt::nn::Prior prior = repopt::nn::Prior::repvgg) {
  if (scales == "sqrt") return repopt::nn::initial_scales<T>(config, prior);
  if (scales == "ones") return repopt::nn::ones_scales<T>(config, prior);
  repopt::require(std::filesystem::exists(scales), "--scales is '", scales, "', it must be a file, sqrt or ones");
  return repopt::formats::load_scales<T>(scales, repopt::nn::scale_lengths(config, prior));
}

}  // namespace repopt_cifar
