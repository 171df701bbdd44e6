// Loops whose iterations are independent. The compiler vectorises them; a program that is built with OpenMP shares them
// among threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

/// Stands before a loop whose iterations touch different elements, so that the compiler vectorises it without proof. It
/// is empty for Clang if square roots may set errno: Clang could not vectorise such loops and would warn. Clang then
/// checks for overlap at run time.
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

/// Calls visit(k) for every k < size. The calls must not depend on each other. The loop becomes vector code if `visit`
/// captures by value.
void for_each_independent(std::size_t size, auto visit) {
  REPOPT_INDEPENDENT
  for (std::size_t k = 0; k < size; ++k) visit(k);
}

/// Returns the number of threads that a parallel loop uses: omp_get_max_threads(), or 1 without OpenMP.
inline std::size_t thread_count() {
#ifdef _OPENMP
  return static_cast<std::size_t>(omp_get_max_threads());
#else
  return 1;
#endif
}

/// Calls visit(i) for every i < count. `visit` must not throw, and its calls must not depend on each other. The loop
/// runs in parallel, with a contiguous share of the indices for each thread, if OpenMP offers more than one thread,
/// `work` (the number of elements touched in all) is large enough to pay for waking them, and no other parallel loop
/// surrounds this one.
void parallel_for(std::size_t count, [[maybe_unused]] std::size_t work, auto visit) {
#ifdef _OPENMP
  constexpr std::size_t worth_threads = 1 << 15;
  // Avoid a parallel region where one thread would do: entering it costs time, and GCC's OpenMP starts new threads for
  // every loop inside it.
  if (count > 1 && work >= worth_threads && thread_count() > 1 && !omp_in_parallel()) {
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < count; ++i) visit(i);
    return;
  }
#endif
  for (std::size_t i = 0; i < count; ++i) visit(i);
}

/// Adds the sums of several ranges to `sum`. Cuts [0, count) into at most `parts` ranges (`parts` >= 1) and calls
/// add(begin, end, part) for each; `add` adds its results to `part`, a span as long as `sum`. The ranges run in
/// parallel, each with its own part. Then all parts are added to `sum` in order, so the result is the same every time.
/// Another number of parts gives another rounding.
template <class T>
void sum_over_ranges(std::size_t count, std::size_t parts, std::size_t work, std::span<T> sum, auto add) {
  parts = std::clamp<std::size_t>(count, 1, parts);
  thread_local std::vector<T> memory;  // kept for the next call
  memory.resize((parts - 1) * sum.size());
  const std::span<T> others(memory);  // the threads share this span, since each has its own `memory`
  parallel_for(parts, work, [&](std::size_t part) {
    const std::span<T> own = part == 0 ? sum : others.subspan((part - 1) * sum.size(), sum.size());
    if (part > 0) std::ranges::fill(own, T(0));
    add(count * part / parts, count * (part + 1) / parts, own);
  });
  for (std::size_t part = 1; part < parts; ++part)
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += others[(part - 1) * sum.size() + k];
}

/// The same as sum_over_ranges() with one range for each thread; calls add(i, part) for every i < count.
template <class T>
void sum_in_parts(std::size_t count, std::size_t work, std::span<T> sum, auto add) {
  sum_over_ranges(count, thread_count(), work, sum, [&](std::size_t begin, std::size_t end, std::span<T> part) {
    for (std::size_t i = begin; i < end; ++i) add(i, part);
  });
}

}  // namespace repopt
