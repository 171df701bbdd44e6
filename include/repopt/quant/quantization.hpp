// Quantization: represents an activation's real numbers by integers of 2 to 8 bits with a scale and a zero point.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "repopt/base/error.hpp"

namespace repopt::quant {

/// Throws std::invalid_argument unless 2 <= bits <= 8. `name` says what has these bits.
inline void require_bits(std::string_view name, int bits) {
  require(bits >= 2 && bits <= 8, "the bits of ", name, " must be 2 to 8, they are ", bits);
}

/// The affine quantization of an activation to unsigned integers, its levels: real = scale * (level - zero_point). It
/// rounds ties to even, as ONNX's QuantizeLinear and DequantizeLinear do.
struct Quantization {
  float scale = 1;              ///< distance of neighbouring levels, as real numbers
  std::uint8_t zero_point = 0;  ///< the level that stands for 0
  int bits = 8;                 ///< the levels are 0 to 2^bits - 1; bits is 2 to 8

  /// The finest quantization whose 2^bits levels reach from min(low, 0) to max(high, 0), to within half a step at each
  /// end, with 0 as one of the levels. Throws std::invalid_argument unless low <= high, both and the scale are finite,
  /// and 2 <= bits <= 8.
  static Quantization of_range(double low, double high, int bits = 8) {
    require_bits("activations", bits);
    require(std::isfinite(low) && std::isfinite(high) && low <= high, "a range must be finite and ordered, it is ", low,
            " to ", high);
    low = std::min(low, 0.0);
    high = std::max(high, 0.0);
    const double largest = (1 << bits) - 1;
    const auto scale = float((high - low) / largest);
    require(std::isfinite(scale), "the range ", low, " to ", high, " is too wide for a scale of type float");
    if (!(scale > 0)) return {.bits = bits};  // all values are zero
    return {scale, std::uint8_t(std::lround(std::min(-low / double(scale), largest))), bits};
  }

  /// The largest level, 2^bits - 1.
  std::uint8_t largest_level() const { return std::uint8_t((1 << bits) - 1); }

  /// The level nearest to x. A value beyond the ends becomes the nearer end, a NaN becomes level 0.
  std::uint8_t quantize(float x) const {
    const float level = std::nearbyint(x / scale) + float(zero_point);
    return level > 0 ? std::uint8_t(std::min(level, float(largest_level()))) : std::uint8_t(0);
  }

  /// The real number that a level represents.
  float dequantize(std::uint8_t level) const { return scale * float(int(level) - int(zero_point)); }

  /// The least and the largest number that a level represents.
  /// @{
  float low() const { return dequantize(0); }
  float high() const { return dequantize(largest_level()); }
  /// @}

  bool operator==(const Quantization&) const = default;
};

}  // namespace repopt::quant
