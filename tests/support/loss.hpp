// The loss with which the golden files were trained.
#pragma once

#include <numeric>
#include <utility>
#include <vector>

namespace repopt::testing {

template <class T>
struct Loss {
  T value;
  std::vector<T> grad;  ///< dL/dy
};

/// Returns var(y, unbiased) + mean(y)^2 over all elements of y, and its gradient.
template <class T>
Loss<T> loss(const std::vector<T>& y) {
  const T n = T(y.size()), mean = std::accumulate(y.begin(), y.end(), T(0)) / n;
  T variance = 0;
  std::vector<T> grad;
  for (const T value : y) {
    variance += (value - mean) * (value - mean) / (n - 1);
    grad.push_back(2 * (value - mean) / (n - 1) + 2 * mean / n);
  }
  return {variance + mean * mean, std::move(grad)};
}

}  // namespace repopt::testing
