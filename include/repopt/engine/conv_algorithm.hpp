// ConvAlgorithm: the choice that a user has among the engine's convolutions.
#pragma once

namespace repopt::nn {

/// How convolutions are computed.
enum class ConvAlgorithm {
  fastest,  ///< Winograd where it pays, which rounds a little more than `plain` does: see is_winograd_faster()
  plain,    ///< the sums of products of the definition, always
};

}  // namespace repopt::nn
