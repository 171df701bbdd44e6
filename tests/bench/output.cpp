// Output and memory figures, which all benchmark programs share.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "bench.hpp"

namespace repopt_bench {

void print(const Options& options, const Json& object) {
  if (options.json) {
    std::printf("%s\n", object.dump().c_str());
  } else {
    for (const auto& [key, value] : object.items())
      std::printf("%s %s  ", key.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
    std::printf("\n");
  }
  std::fflush(stdout);
}

double rss_mb() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return double(resident) * double(sysconf(_SC_PAGESIZE)) / (1024 * 1024);
}

double peak_rss_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) / 1024;
}

}  // namespace repopt_bench
