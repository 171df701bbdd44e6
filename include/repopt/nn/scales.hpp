// Scales: the constants of a whole network's CSLA blocks, by name.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "repopt/core/error.hpp"
#include "repopt/nn/repopt_vgg_config.hpp"

namespace repopt::nn {

/// Scales by parameter name, as in the published files: "stage1.1.scale_conv.weight", "stage1.1.scale_1x1.weight",
/// "stage1.1.scale_identity.weight" (the last one is the identity's initial weight: its constant scale is 1).
template <class T>
using Scales = std::map<std::string, std::vector<T>>;

/// "stage1.1.scale_conv.weight" for kind "scale_conv" of block "stage1.1".
inline std::string scale_name(const BlockSpec& spec, std::string_view kind) {
  return concat(spec.name, ".", kind, ".weight");
}

/// Names and lengths of the scales that a network of this architecture has.
inline std::map<std::string, std::size_t> scale_lengths(const RepOptVggConfig& config) {
  std::map<std::string, std::size_t> lengths;
  for (const BlockSpec& spec : config.block_specs()) {
    for (const char* kind : {"scale_conv", "scale_1x1"}) lengths[scale_name(spec, kind)] = spec.shape.out_channels;
    if (spec.has_identity()) lengths[scale_name(spec, "scale_identity")] = spec.shape.out_channels;
  }
  return lengths;
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
