// The scales of a Vgg's CSLA blocks: their names and lengths.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt::nn {

/// "stage1.1.scale_conv.weight" for kind "scale_conv" of block "stage1.1".
inline std::string scale_name(const BlockSpec& spec, std::string_view kind) {
  return concat(spec.name, ".", kind, ".weight");
}

/// Names and lengths of the scales that a network of this architecture has.
inline ScaleLengths scale_lengths(const VggConfig& config) {
  ScaleLengths lengths;
  for (const BlockSpec& spec : config.block_specs()) {
    for (const char* kind : {"scale_conv", "scale_1x1"}) lengths[scale_name(spec, kind)] = spec.shape.out_channels;
    if (spec.has_identity()) lengths[scale_name(spec, "scale_identity")] = spec.shape.out_channels;
  }
  return lengths;
}

/// Names of the presets whose scales have just these names and lengths.
template <class T>
std::vector<std::string> fitting_presets(const Scales<T>& scales) {
  std::vector<std::string> names;
  const auto same = [](const auto& scale, const auto& expected) {
    return scale.first == expected.first && scale.second.size() == expected.second;
  };
  for (const VggConfig& preset : vgg_presets())
    if (std::ranges::equal(scales, scale_lengths(preset), same)) names.push_back(preset.name);
  return names;
}

/// One scale of a block. Throws std::invalid_argument if it is missing or not of out_channels elements.
template <class T>
const std::vector<T>& scale_of(const Scales<T>& scales, const BlockSpec& spec, std::string_view kind) {
  const std::string name = scale_name(spec, kind);
  const auto found = scales.find(name);
  require(found != scales.end(), "the scales lack '", name, "'");
  require(found->second.size() == spec.shape.out_channels, "'", name, "' has ", found->second.size(),
          " elements, out_channels is ", spec.shape.out_channels);
  return found->second;
}

}  // namespace repopt::nn
