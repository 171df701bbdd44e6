// InputAffine: what a convolution may apply to its input on the way in, so that an activation need not be stored.
#pragma once

#include <cstddef>
#include <span>

namespace repopt::nn {

/// relu(scale * x + shift) for each channel: a batch norm and its ReLU, folded. Both spans are (channels).
template <class T>
struct InputAffine {
  std::span<const T> scale, shift;

  T operator()(T x, std::size_t channel) const {
    const T z = scale[channel] * x + shift[channel];
    return z < 0 ? T(0) : z;  // a NaN stays one
  }
};

}  // namespace repopt::nn
