// ConvAlgorithm: the choice that a user has among the engine's convolutions.
#pragma once

namespace repopt::nn {

/// How convolutions are computed.
enum class ConvAlgorithm {
  fastest,  ///< Winograd where it pays, which rounds a little more than `plain` does: see is_winograd_faster()
  plain,    ///< always a sum of products in the order of the definition, if not one by one
};

}  // namespace repopt::nn
