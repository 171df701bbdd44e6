// relative_error: the metric of all comparisons, max|a - b| / max|b|.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace repopt::testing {

/// Returns max|a - b| / max|b| over two ranges of numbers; b is the reference. Returns infinity if the lengths differ
/// or a number is not finite, so NaN never passes. Returns 0 if all numbers are 0.
double relative_error(const auto& a, const auto& b) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (a.size() != b.size()) return infinity;
  double difference = 0, largest = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    const auto x = double(a[k]), y = double(b[k]);
    if (!std::isfinite(x) || !std::isfinite(y)) return infinity;
    difference = std::max(difference, std::abs(x - y));
    largest = std::max(largest, std::abs(y));
  }
  return difference == 0 ? 0 : difference / largest;
}

}  // namespace repopt::testing
