// What a command asks of the system about its process.
#include <sys/resource.h>

#include <algorithm>
#include <thread>

#include "commands.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace repopt_cifar {

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return double(usage.ru_maxrss) / (1024 * 1024);
#else
  return double(usage.ru_maxrss) / 1024;
#endif
}

void set_threads([[maybe_unused]] int threads) {
#ifdef _OPENMP
  omp_set_num_threads(threads > 0 ? threads : int(std::max(1U, std::thread::hardware_concurrency())));
#endif
}

}  // namespace repopt_cifar
