// parallel_for: a loop that is shared among threads where the including program is built with OpenMP, and only there.
#pragma once

#include <cstddef>

namespace repopt {

/// Calls visit(i) for every i < count; in parallel, in contiguous shares, if OpenMP is on and `work` (elements touched
/// in all) pays for waking the threads. `visit` must not throw, and its calls must not depend on each other.
void parallel_for(std::size_t count, [[maybe_unused]] std::size_t work, auto visit) {
#ifdef _OPENMP
  constexpr std::size_t worth_threads = 1 << 15;
#pragma omp parallel for schedule(static) if (work >= worth_threads)
#endif
  for (std::size_t i = 0; i < count; ++i) visit(i);
}

}  // namespace repopt
