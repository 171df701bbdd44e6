// The branches of a Vgg's CSLA blocks, and the names and lengths of their scales.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt::nn {

/// One branch of the prior structure. Its layers have the names in the published models.
struct PriorBranch {
  ConvShape shape;  ///< shape of the branch's operator
  /// Name of its convolution, "conv" or "conv_1x1"; empty for the identity, which has no convolution.
  std::string conv_name;
  std::string scale_name;  ///< name of its scale, "scale_conv", "scale_1x1" or "scale_identity"

  /// Whether the branch is the identity, whose one operator is a trained scale.
  bool is_identity() const { return conv_name.empty(); }
};

/// Returns the branches of RepVGG's structure, which is RepOpt-VGG's prior: 3x3, 1x1 and, if input and output have the
/// same shape, the identity.
inline std::vector<PriorBranch> prior_branches(const BlockSpec& spec) {
  std::vector<PriorBranch> branches{{spec.shape, "conv", "scale_conv"}, {spec.shape_1x1(), "conv_1x1", "scale_1x1"}};
  if (spec.has_identity())
    branches.push_back({ConvShape::depthwise_1x1(spec.shape.out_channels), "", "scale_identity"});
  return branches;
}

/// Returns a scale's name: "stage1.1.scale_conv.weight" for kind "scale_conv" of block "stage1.1".
inline std::string scale_name(const BlockSpec& spec, std::string_view kind) {
  return concat(spec.name, ".", kind, ".weight");
}

/// Returns the names and lengths of all scales of a network with this architecture.
inline ScaleLengths scale_lengths(const VggConfig& config) {
  ScaleLengths lengths;
  for (const BlockSpec& spec : config.block_specs())
    for (const PriorBranch& branch : prior_branches(spec))
      lengths[scale_name(spec, branch.scale_name)] = spec.shape.out_channels;
  return lengths;
}

/// Returns one scale of a block. Throws std::invalid_argument if it is missing or does not have out_channels elements.
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
