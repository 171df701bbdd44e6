#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "study/summary.hpp"

using namespace repopt_cifar::study;

namespace {

RunResult run(const std::string& variant, double lr, std::size_t epochs, std::uint64_t seed, double accuracy,
              double seconds_per_epoch = 10) {
  return {.key = {"cifar-small", variant, lr, epochs, seed},
          .test_accuracy = accuracy,
          .processor_seconds_per_epoch = seconds_per_epoch,
          .threads = 1};
}

}  // namespace

TEST_CASE("A spread has the sample standard deviation") {
  const Spread spread = Spread::of(std::vector<double>{1, 2, 6});
  CHECK(spread.mean == doctest::Approx(3));
  CHECK(spread.low == 1);
  CHECK(spread.high == 6);
  CHECK(spread.deviation == doctest::Approx(std::sqrt(7.0)));
  CHECK(Spread::of(std::vector<double>{5}).deviation == 0);
  CHECK_THROWS_AS(Spread::of({}), std::invalid_argument);
}

TEST_CASE("Runs that differ only in their seeds form a group, and groups have the order of the variants") {
  RunResult other = run("plain", 0.1, 2, 0, 0.9);
  other.key.model = "cifar-deep";
  const ModelSummary summary("cifar-small", {run("repvgg", 0.1, 2, 1, 0.5), run("plain", 0.2, 2, 0, 0.3), other,
                                             run("repvgg", 0.1, 2, 0, 0.7), run("plain", 0.1, 2, 0, 0.4)});
  REQUIRE(summary.groups().size() == 3);
  CHECK(summary.groups()[0].key().lr == 0.1);
  CHECK(summary.groups()[1].key().lr == 0.2);
  const Group& repvgg = summary.groups()[2];
  REQUIRE(repvgg.runs().size() == 2);
  CHECK(repvgg.runs()[1].key.seed == 1);
  CHECK(repvgg.spread(&RunResult::test_accuracy).mean == doctest::Approx(0.6));
}

TEST_CASE("The best learning rate has the highest mean among those with the most seeds") {
  const ModelSummary summary(
      "cifar-small", {run("plain", 0.1, 2, 0, 0.4), run("plain", 0.1, 2, 1, 0.4), run("plain", 0.2, 2, 0, 0.5),
                      run("plain", 0.2, 2, 1, 0.5), run("plain", 0.4, 2, 0, 0.9), run("plain", 0.1, 4, 0, 0.6)});
  CHECK(summary.usual_epochs() == 2);
  REQUIRE(summary.best("plain", 2));
  CHECK(summary.best("plain", 2)->key().lr == 0.2);
  CHECK(summary.best("repvgg", 2) == nullptr);
  CHECK(ModelSummary("cifar-deep", {}).usual_epochs() == 0);
}

TEST_CASE("longest_within() finds the longest training that takes at most the given time") {
  const ModelSummary summary("cifar-small", {run("plain", 0.1, 2, 0, 0.4), run("plain", 0.1, 4, 0, 0.5),
                                             run("plain", 0.1, 9, 0, 0.6), run("repvgg", 0.1, 2, 0, 0.7, 25)});
  const double seconds = summary.training_seconds(*summary.best("repvgg", 2));
  CHECK(seconds == 50);
  REQUIRE(summary.longest_within("plain", seconds));
  CHECK(summary.longest_within("plain", seconds)->key().epochs == 4);
  CHECK(summary.longest_within("plain", 19) == nullptr);
}

TEST_CASE("A measured time of an epoch replaces the processor time of the runs, for its variant alone") {
  const std::vector<RunResult> runs{run("plain", 0.1, 2, 0, 0.4), run("repvgg", 0.1, 2, 0, 0.7, 25)};
  const ModelSummary summary("cifar-small", runs, {{"plain", 3}});
  CHECK(summary.training_seconds(*summary.best("plain", 2)) == 6);
  CHECK(summary.training_seconds(*summary.best("repvgg", 2)) == 50);
}
