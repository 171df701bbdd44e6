#include "repopt/quant/fixed_point.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "support/random.hpp"

using namespace repopt;
using namespace repopt::quant;
using namespace repopt::testing;

TEST_CASE("A fixed-point factor rounds as real arithmetic does, with ties up") {
  Random random(5);
  for (int k = 0; k < 20000; ++k) {
    const double factor = std::ldexp(random.real(0.5, 1), int(random.integer(0, 60)) - 50);
    const auto x = std::int32_t(std::int64_t(random.integer(0, 0xffffffff)) - (std::int64_t(1) << 31));
    const double exact = double(x) * factor;
    CHECK(std::abs(double(FixedPoint(factor)(x)) - exact) <= 0.5 + std::abs(exact) * 0x1p-31);
  }
  CHECK(FixedPoint(0.5)(3) == 2);
  CHECK(FixedPoint(0.5)(-3) == -1);
  CHECK(FixedPoint(0.25)(6) == 2);
  CHECK(FixedPoint(0.25)(5) == 1);
  CHECK(FixedPoint(0)(1 << 30) == 0);
  CHECK(FixedPoint(1e-300)(1 << 30) == 0);
  for (const std::int32_t x :
       {std::numeric_limits<std::int32_t>::min(), -1, 0, std::numeric_limits<std::int32_t>::max()}) {
    CHECK(FixedPoint(1)(x) == x);
    CHECK(FixedPoint(std::nextafter(1, 0))(x) == x);
    CHECK(FixedPoint(double(1 << 29))(x) == std::int64_t(x) * (1 << 29));
  }
  for (const double factor :
       {-0.1, double(1 << 30), std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(FixedPoint{factor}, std::invalid_argument);
}
