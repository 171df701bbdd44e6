#include "study/int8.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"

using namespace repopt_cifar::study;
using repopt::testing::TemporaryFolder;
using repopt::testing::write_bytes;

namespace {

RunResult run(const std::string& variant, double lr, std::uint64_t seed, double accuracy) {
  return {.key = {"cifar-small", variant, lr, 2, seed}, .test_accuracy = accuracy};
}

}  // namespace

TEST_CASE(
    "INT8 is measured for all seeds of plain, rep-searched, repvgg and qarepvgg, with their best learning rates") {
  const std::vector<Int8Key> plan = int8_plan(
      {run("plain", 0.1, 0, 0.5), run("plain", 0.1, 1, 0.5), run("plain", 0.2, 0, 0.4), run("plain", 0.2, 1, 0.4),
       run("rep-sqrt", 0.1, 0, 0.9), run("repvgg", 0.1, 0, 0.6), run("qarepvgg", 0.1, 0, 0.7)});
  REQUIRE(plan.size() == (2 + 1 + 1) * 4);
  CHECK(plan[0].name() == "cifar-small-plain-lr0.1-e2-s0-per-tensor-min-max");
  CHECK(plan[4].name() == "cifar-small-plain-lr0.1-e2-s1-per-tensor-min-max");
  CHECK(plan[11].name() == "cifar-small-repvgg-lr0.1-e2-s0-per-channel-mse");
  CHECK(plan[15].name() == "cifar-small-qarepvgg-lr0.1-e2-s0-per-channel-mse");
}

TEST_CASE("INT8 results that are written to quant.csv are read back unchanged") {
  const TemporaryFolder folder;
  CHECK(read_int8_results(folder.path()).empty());
  const std::vector<Int8Result> results{{{{"cifar-deep", "repvgg", 0.05, 12, 2}, "per-tensor", "mse"}, 0.6, 1.0 / 3}};
  write_bytes(folder / "quant.csv", to_csv(results));
  CHECK(read_int8_results(folder.path()) == results);
}
