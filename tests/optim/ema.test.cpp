// Checks Ema against its formula. The tests in equivalence/ check that it commutes with the equivalence.
#include "repopt/optim/ema.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

using repopt::Ema;

TEST_CASE_TEMPLATE("Ema copies at its first update and decays afterwards, as AveragedModel does", T, float, double) {
  std::vector<T> weight{1, -2};
  Ema<T> ema(0.75);
  ema.add_param(weight);
  weight = {4, 8};
  ema.update();
  weight = {8, 0};
  ema.update();
  ema.swap();
  CHECK(weight == std::vector<T>{5, 6});
  ema.swap();
  CHECK(weight == std::vector<T>{8, 0});
}

TEST_CASE("Saved averages continue after they are copied into the weights and swapped") {
  std::vector<double> weight{1}, other{1};
  Ema<double> whole(0.5), resumed(0.5);
  whole.add_param(weight);
  resumed.add_param(other);
  weight = {3};
  whole.update();
  other = {3};  // the saved average
  resumed.swap();
  for (double next : {5.0, 7.0}) {
    weight = other = {next};
    whole.update();
    resumed.update();
  }
  whole.swap();
  resumed.swap();
  CHECK(weight == std::vector<double>{5.5});
  CHECK(other == weight);
}

TEST_CASE("A weight that is averaged already, or a part of such a weight, is refused") {
  std::vector<float> weights(10);
  Ema<float> ema(0.5);
  ema.add_param(std::span(weights).first(6));
  CHECK_THROWS_WITH_AS(ema.add_param(weights),
                       "the weight of 10 elements overlaps in memory with number 0, which is averaged already",
                       std::invalid_argument);
  CHECK_NOTHROW(ema.add_param(std::span(weights).last(4)));
}

TEST_CASE("A decay of 1 or more, or below 0, is refused") {
  for (const double decay : {-0.1, 1.0, 2.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(Ema<float>{decay}, std::invalid_argument);
  CHECK_THROWS_WITH(Ema<float>{1.0}, "decay must be in [0, 1), it is 1");
}

TEST_CASE("The first update copies the weights even if an earlier weight was not finite") {
  std::vector<float> weight{std::numeric_limits<float>::quiet_NaN(), 1};
  Ema<float> ema(0.5);
  ema.add_param(weight);
  weight = {2, 3};
  ema.update();
  ema.swap();
  CHECK(weight == std::vector<float>{2, 3});
}

TEST_CASE("An average of floats moves by 1 - decay, also for decays close to 1 and close to 0") {
  for (const double decay : {0.0, 1e-6, 0.3, 0.999, 0.99999, 0.99999999}) {
    std::vector<float> weight{0, 5};
    Ema<float> ema(decay);
    ema.add_param(weight);
    ema.update();
    weight = {1, 5};
    ema.update();
    ema.swap();
    CHECK(std::abs(double(weight[0]) / (1 - decay) - 1) < 1e-6);
    CHECK(weight[1] == 5);
  }
}
