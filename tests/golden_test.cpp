// golden_test: checks every *.safetensors in $REPOPT_GOLDEN_DIR, by default the project's own, by each file's metadata
// alone. One line a file, with its largest error as max|a - b| / max|b| per tensor.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "golden_block.hpp"
#include "golden_file.hpp"

namespace {

using namespace repopt::testing;

bool report(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  try {
    constexpr double tolerance = 1e-12;
    const Largest largest = check_block(GoldenFile(path));
    const bool passed = largest.error <= tolerance;
    std::printf("%s  %-46s %8.1e  (%s)\n", passed ? "PASS" : "FAIL", name.c_str(), largest.error,
                largest.where.c_str());
    return passed;
  } catch (const std::exception& error) {
    std::printf("FAIL  %-46s %s\n", name.c_str(), error.what());
    return false;
  }
}

}  // namespace

int main() {
  const char* const chosen = std::getenv("REPOPT_GOLDEN_DIR");
  const std::filesystem::path folder = chosen ? chosen : REPOPT_GOLDEN_DEFAULT_DIR;
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().extension() == ".safetensors") files.push_back(entry->path());
  if (error || files.empty()) {
    std::printf("FAIL  %s: %s\n", folder.c_str(), error ? error.message().c_str() : "no *.safetensors there");
    return 1;
  }
  std::ranges::sort(files);
  const auto failed = std::ranges::count_if(files, [](const auto& path) { return !report(path); });
  std::printf("%zu files, %td failed\n", files.size(), failed);
  return failed == 0 ? 0 : 1;
}
