// Loops whose iterations are independent: they become vector code or, in programs that are built with OpenMP, are
// shared among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

/// Before a loop whose iterations touch different elements: compilers vectorise it without proof. (Clang does not where
/// a square root may set errno, and would warn of it; it checks for overlap at run time then.)
#if defined(__clang__) && !defined(__NO_MATH_ERRNO__)
#define REPOPT_INDEPENDENT
#elif defined(__clang__)
#define REPOPT_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define REPOPT_INDEPENDENT _Pragma("GCC ivdep")
#else
#define REPOPT_INDEPENDENT
#endif

namespace repopt {

/// Calls visit(k) for every k < size. The calls must not depend on each other; they become vector code if `visit`
/// captures by value.
void for_each_independent(std::size_t size, auto visit) {
  REPOPT_INDEPENDENT
  for (std::size_t k = 0; k < size; ++k) visit(k);
}

/// Number of threads that a parallel loop gets: omp_get_max_threads(), or 1 without OpenMP.
inline std::size_t thread_count() {
#ifdef _OPENMP
  return static_cast<std::size_t>(omp_get_max_threads());
#else
  return 1;
#endif
}

/// Calls visit(i) for every i < count; in parallel, in contiguous shares, if OpenMP is on with more than one thread,
/// `work` (elements touched in all) pays for waking them and no parallel loop is around this one. `visit` must not
/// throw, and its calls must not depend on each other.
void parallel_for(std::size_t count, [[maybe_unused]] std::size_t work, auto visit) {
#ifdef _OPENMP
  constexpr std::size_t worth_threads = 1 << 15;
  // No region where one thread would do: entering one costs time, and GCC's OpenMP starts new threads for every loop
  // inside it.
  if (count > 1 && work >= worth_threads && thread_count() > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < count; ++i) visit(i);
    return;
  }
#endif
  for (std::size_t i = 0; i < count; ++i) visit(i);
}

/// sum += the sum of what add(begin, end, part) adds to `part`, a span like `sum`, for each of at most `parts` (>= 1)
/// ranges that [0, count) is cut into. Ranges run in parallel, each with a part of its own, and parts are added in
/// order: the same result every time, but a rounding of its own for each number of parts.
template <class T>
void sum_over_ranges(std::size_t count, std::size_t parts, std::size_t work, std::span<T> sum, auto add) {
  parts = std::clamp<std::size_t>(count, 1, parts);
  thread_local std::vector<T> memory;  // kept for the next call
  memory.resize((parts - 1) * sum.size());
  const std::span<T> others(memory);  // threads write here, not to `memory` of their own
  parallel_for(parts, work, [&](std::size_t part) {
    const std::span<T> own = part == 0 ? sum : others.subspan((part - 1) * sum.size(), sum.size());
    if (part > 0) std::ranges::fill(own, T(0));
    add(count * part / parts, count * (part + 1) / parts, own);
  });
  for (std::size_t part = 1; part < parts; ++part)
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += others[(part - 1) * sum.size() + k];
}

/// The same with add(i, part) for every i < count, in a part for each thread.
template <class T>
void sum_in_parts(std::size_t count, std::size_t work, std::span<T> sum, auto add) {
  sum_over_ranges(count, thread_count(), work, sum, [&](std::size_t begin, std::size_t end, std::span<T> part) {
    for (std::size_t i = begin; i < end; ++i) add(i, part);
  });
}

}  // namespace repopt
