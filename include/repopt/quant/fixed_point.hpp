// FixedPoint: multiplies integers by real numbers with integer arithmetic.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "repopt/base/error.hpp"

namespace repopt::quant {

/// A real factor, as multiplier * 2^-shift with a multiplier of 31 bits (arXiv 1712.05877, section 2.2), and optionally
/// a second factor with the same shift. Departure from the source: the 64-bit product is rounded once instead of twice.
/// So the result is that of real arithmetic unless the exact result lies close to a tie: within 2^-31 of its own size
/// for one integer, and for two integers within 2^-31 * (|x| + |y|) * the larger factor (2^-63 * (|x| + |y|) if both
/// factors are below 2^-32).
class FixedPoint {
 public:
  /// The nearest representable factors. Throws std::invalid_argument unless 0 <= factor < 2^30 for both.
  explicit FixedPoint(double factor, double second_factor = 0) {
    for (const double value : {factor, second_factor})
      require(value >= 0 && value < double(1 << 30), "a fixed-point factor must be in [0, 2^30), it is ", value);
    int exponent = 0;
    std::frexp(std::max(factor, second_factor), &exponent);  // the larger factor is in [1/2, 1) * 2^exponent, or 0
    shift_ = std::min(bits - exponent, max_shift);           // factors below 2^-32 have multipliers of fewer bits
    multiplier_ = std::llround(std::ldexp(factor, shift_));
    second_multiplier_ = std::llround(std::ldexp(second_factor, shift_));
  }

  /// x * factor, rounded to the nearest integer, ties up.
  std::int64_t operator()(std::int32_t x) const { return (x * multiplier_ + half()) >> shift_; }

  /// x * factor + y * second_factor, rounded to the nearest integer, ties up. |y| must be less than 2^30, so that the
  /// sum fits 64 bits.
  std::int64_t operator()(std::int32_t x, std::int32_t y) const {
    return (x * multiplier_ + y * second_multiplier_ + half()) >> shift_;
  }

 private:
  static constexpr int bits = 31, max_shift = 62;

  std::int64_t half() const { return std::int64_t(1) << (shift_ - 1); }

  std::int64_t multiplier_ = 0, second_multiplier_ = 0;
  int shift_ = 1;
};

}  // namespace repopt::quant
