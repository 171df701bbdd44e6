// numeric_gradient: gradients by central differences.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace repopt::testing {

/// Returns dL/dvalue for every value by central differences. The step balances the errors of truncation (step^2) and
/// rounding (1e-16 / step). It is so small that a ReLU seldom switches within it.
inline std::vector<double> numeric_gradient(std::span<double> values, const std::function<double()>& loss) {
  constexpr double step = 1e-6;
  std::vector<double> gradient;
  for (double& value : values) {
    const double kept = value;
    value = kept + step;
    const double above = loss();
    value = kept - step;
    const double below = loss();
    value = kept;
    gradient.push_back((above - below) / (2 * step));
  }
  return gradient;
}

}  // namespace repopt::testing
