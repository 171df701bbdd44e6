// ConvAlgorithm: the user's choice of how the engine computes convolutions.
#pragma once

namespace repopt::nn {

/// How convolutions are computed.
enum class ConvAlgorithm {
  fastest,  ///< by Winograd's method where is_winograd_faster(), with a little more rounding error than `plain`
  plain,    ///< always by the sums of products of the definition
};

}  // namespace repopt::nn
