// for_each_thread_count: the same with one thread and with more.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

namespace repopt::testing {

/// Calls visit() with 1, 2 and 3 threads for parallel loops; once in a program without OpenMP.
void for_each_thread_count(auto visit) {
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    visit();
  }
  omp_set_num_threads(before);
#else
  visit();
#endif
}

}  // namespace repopt::testing
