// FixedPoint: multiplies an integer by a real number with integer arithmetic.
#pragma once

#include <cmath>
#include <cstdint>

#include "repopt/base/error.hpp"

namespace repopt::quant {

/// A real factor, as multiplier * 2^-shift with a multiplier of 31 bits (arXiv 1712.05877, section 2.2). Departure from
/// the source: the 64-bit product is rounded once instead of twice. So the result equals that of real arithmetic,
/// unless the exact product is within 2^-31 of itself from a tie.
class FixedPoint {
 public:
  /// The nearest representable factor. Throws std::invalid_argument unless 0 <= factor < 2^30.
  explicit FixedPoint(double factor) {
    require(factor >= 0 && factor < double(1 << 30), "a fixed-point factor must be in [0, 2^30), it is ", factor);
    int exponent = 0;
    const double fraction = std::frexp(factor, &exponent);  // in [0.5, 1), or 0
    const std::int64_t multiplier = std::llround(std::ldexp(fraction, bits));
    if (bits - exponent > max_shift) return;  // then every product is below 1/2 and becomes 0
    multiplier_ = multiplier;
    shift_ = bits - exponent;
  }

  /// x * factor, rounded to the nearest integer, ties up.
  std::int64_t operator()(std::int32_t x) const {
    return (x * multiplier_ + (std::int64_t(1) << (shift_ - 1))) >> shift_;
  }

 private:
  static constexpr int bits = 31, max_shift = 62;

  std::int64_t multiplier_ = 0;
  int shift_ = 1;
};

}  // namespace repopt::quant
