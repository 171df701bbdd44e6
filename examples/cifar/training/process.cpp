// peak_rss_mb() and set_threads(): memory and threads of this process.
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <thread>

#include "commands.hpp"
#include "repopt/base/error.hpp"
#include "training/processes.hpp"

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

void set_threads(int threads) {
  constexpr std::size_t most = 64;  // allowed on any machine, so that a command runs on smaller ones, too
  const std::size_t cores = std::thread::hardware_concurrency();
  repopt::require(threads >= 0 && std::size_t(threads) <= std::max(most, cores), "--threads must be 0 to ",
                  std::max(most, cores), " on this machine, which has ", cores, " cores, it is ", threads);
#ifdef _OPENMP
  omp_set_num_threads(threads > 0 ? threads : int(std::max<std::size_t>(1, cores / Processes::size())));
#endif
}

}  // namespace repopt_cifar
