// golden_test: checks every *.safetensors file in $REPOPT_GOLDEN_DIR, by default this project's own files. A file's
// metadata say how to check it. The program prints one line for each file, with its largest error: max|a - b| / max|b|
// per tensor. Whole models are also trained in float, with a wide bound, because rounding alone drives float models
// apart from step to step.
#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "golden/golden_block.hpp"
#include "golden/golden_file.hpp"
#include "golden/golden_folded.hpp"
#include "golden/golden_model.hpp"

namespace {

using namespace repopt::testing;

constexpr double block_tolerance = 1e-12, model_tolerance = 1e-10, float_model_tolerance = 1e-4;

bool print(const std::string& name, bool passed, const Largest& largest, const std::string& more = "") {
  std::printf("%s  %-46s %8.1e  (%s)%s\n", passed ? "PASS" : "FAIL", name.c_str(), largest.error, largest.where.c_str(),
              more.c_str());
  return passed;
}

bool check(const std::string& name, const GoldenFile& file) {
  if (!file.has("kind")) {
    const Largest largest = check_block(file);
    return print(name, largest.error <= block_tolerance, largest);
  }
  if (file.text("kind") == "folded") {
    const Largest largest = check_folded(file);
    return print(name, largest.error <= block_tolerance, largest);
  }
  if (file.text("kind") != "model") throw std::runtime_error("unknown kind '" + file.text("kind") + "'");
  const auto [in_double, in_float] = check_model(file);
  std::array<char, 32> float_column;
  std::snprintf(float_column.data(), float_column.size(), "  float: %.1e", in_float.error);
  const bool passed = in_double.error <= model_tolerance && in_float.error <= float_model_tolerance;
  return print(name, passed, in_double, float_column.data());
}

bool report(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  try {
    return check(name, GoldenFile(path));
  } catch (const std::exception& error) {
    std::printf("FAIL  %-46s %s\n", name.c_str(), error.what());
    return false;
  }
}

}  // namespace

int main() {
#ifdef _OPENMP
  omp_set_num_threads(1);  // the networks are so small that on a busy machine threads would only wait for each other
#endif
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
