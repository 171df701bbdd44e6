#include "repopt/optim/lr_schedule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <numbers>
#include <stdexcept>

using namespace repopt;

TEST_CASE("A constant schedule gives its lr at any step") {
  constexpr ConstantLr schedule{.lr = 0.05};
  CHECK(schedule(0) == 0.05);
  CHECK(schedule(1'000'000) == 0.05);
}

TEST_CASE("A step schedule multiplies by gamma every step_size steps") {
  const StepLr schedule{.lr = 0.1, .step_size = 30, .gamma = 0.5};
  CHECK(schedule(0) == 0.1);
  CHECK(schedule(29) == 0.1);
  CHECK(schedule(30) == doctest::Approx(0.05));
  CHECK(schedule(89) == doctest::Approx(0.025));
  CHECK(schedule(90) == doctest::Approx(0.0125));
  CHECK_THROWS_WITH_AS((void)StepLr{.step_size = 0}(1), "step_size must be positive, it is 0", std::invalid_argument);
}

TEST_CASE("The warm-up rises in equal steps to lr, then the cosine falls to final_lr and stays there") {
  const WarmupCosineLr schedule{.lr = 0.4, .warmup_steps = 4, .total_steps = 24, .final_lr = 0.02};
  for (std::size_t step = 0; step < 4; ++step) CHECK(schedule(step) == doctest::Approx(0.1 * double(step + 1)));
  CHECK(schedule(4) == doctest::Approx(0.4));
  CHECK(schedule(14) == doctest::Approx(0.21));
  CHECK(schedule(9) == doctest::Approx(0.02 + 0.38 * (1 + std::sqrt(0.5)) / 2));
  for (std::size_t step = 4; step < 24; ++step) {
    CHECK(schedule(step + 1) < schedule(step));
    CHECK(schedule(step) ==
          doctest::Approx(0.02 + 0.38 * (1 + std::cos(std::numbers::pi * double(step - 4) / 20)) / 2));
  }
  CHECK(schedule(24) == 0.02);
  CHECK(schedule(1000) == 0.02);
}

TEST_CASE("Without warm-up the cosine starts at lr") {
  const WarmupCosineLr schedule{.lr = 0.1, .total_steps = 10};
  CHECK(schedule(0) == 0.1);
  CHECK(schedule(5) == doctest::Approx(0.05));
  CHECK(schedule(10) == 0);
}

TEST_CASE("A warm-up that is as long as the whole schedule is refused") {
  CHECK_THROWS_WITH_AS((void)(WarmupCosineLr{.warmup_steps = 5, .total_steps = 5}(0)),
                       "warmup_steps is 5, total_steps is 5", std::invalid_argument);
}
