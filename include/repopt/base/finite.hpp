// first_non_finite: finds NaN and infinity at the speed of memory. This header warns if the compiler's flags disable
// such checks.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>

namespace repopt {

/// Returns the index of the first element that is NaN or infinite, or nothing if all are finite.
template <std::floating_point T>
std::optional<std::size_t> first_non_finite(std::span<const T> elements) {
  // x - x is 0 for a finite x and NaN otherwise, and a sum with a NaN in it is NaN. Many sums and a loop without an
  // exit let the compiler vectorise it.
  constexpr std::size_t lanes = 128 / sizeof(T), passes = 16;
  std::size_t first = 0;
  for (; first + lanes * passes <= elements.size(); first += lanes * passes) {
    std::array<T, lanes> sums{};
    const T* x = elements.data() + first;
    for (std::size_t pass = 0; pass < passes; ++pass, x += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] += x[lane] - x[lane];
    T sum = 0;
    for (const T lane : sums) sum += lane;
    if (sum != 0) break;
  }
  for (; first < elements.size(); ++first)
    if (!std::isfinite(elements[first])) return first;
  return std::nullopt;
}

}  // namespace repopt

// With -ffast-math or -ffinite-math-only the compiler assumes that every number is finite and takes isfinite() to be
// true. This search and all other checks for NaN and infinity then vanish without notice. The pragma turns the rest of
// the file into a system header, because elsewhere -Wpedantic would warn of #warning itself.
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#pragma GCC system_header
#warning "repopt: -ffast-math and -ffinite-math-only disable all checks for NaN and infinity"
#endif
