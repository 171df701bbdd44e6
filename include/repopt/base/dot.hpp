// dot: the sum of the products of two arrays' elements.
#pragma once

#include <array>
#include <cstddef>

namespace repopt::detail {

/// Returns the sum of a[k] * b[k]. Several partial sums let the compiler vectorise it.
template <class T>
T dot(const T* a, const T* b, std::size_t size) {
  constexpr std::size_t lanes = 128 / sizeof(T);
  std::array<T, lanes> sums{};
  std::size_t k = 0;
  for (; k + lanes <= size; k += lanes)
    for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += a[k + lane] * b[k + lane];
  T sum = 0;
  for (; k < size; ++k) sum += a[k] * b[k];
  for (const T lane : sums) sum += lane;
  return sum;
}

}  // namespace repopt::detail
