#include "repopt/quant/fixed_point.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
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

TEST_CASE("A sum of two products rounds once, as real arithmetic does") {
  Random random(6);
  std::size_t rounded_twice = 0;
  for (int k = 0; k < 20000; ++k) {
    const double a = std::ldexp(random.real(0.5, 1), int(random.integer(0, 12)) - 20);
    const double b = std::ldexp(random.real(0.5, 1), int(random.integer(0, 12)) - 20);
    const auto x = std::int32_t(random.integer(0, 2000000)) - 1000000;
    const auto y = std::int32_t(random.integer(0, 2000000)) - 1000000;
    const double exact = x * a + y * b, tolerance = (std::abs(x) + std::abs(y)) * std::max(a, b) * 0x1p-31;
    const std::int64_t sum = FixedPoint(a, b)(x, y);
    CHECK(std::abs(double(sum) - exact) <= 0.5 + tolerance);
    rounded_twice += sum != FixedPoint(a)(x) + FixedPoint(b)(y);
  }
  CHECK(rounded_twice > 1000);  // rounding each product is another result
  CHECK(FixedPoint(0, 0.5)(7, 3) == 2);
  CHECK(FixedPoint(0.5, 0.25)(1, 2) == 1);
  CHECK_THROWS_AS(FixedPoint(1, -1), std::invalid_argument);
}

TEST_CASE("Two products that are each below 1/2 round as their sum does, and one alone becomes 0") {
  constexpr std::int32_t largest = std::numeric_limits<std::int32_t>::max(), least = -largest - 1;
  constexpr std::int32_t largest_y = (1 << 30) - 1;
  const double factor = std::nextafter(0x1p-32, 0);
  CHECK(FixedPoint(factor)(largest) == 0);
  CHECK(FixedPoint(factor)(least) == 0);
  CHECK(FixedPoint(factor, factor)(largest, largest_y) == 1);  // 0.75
  CHECK(FixedPoint(factor, factor)(least, -largest_y) == -1);
  CHECK(FixedPoint(factor, factor)(largest, -largest_y) == 0);  // 0.25
  Random random(7);
  std::size_t ones = 0;
  for (int k = 0; k < 20000; ++k) {
    const double a = std::ldexp(random.real(0.5, 1), -32 - int(random.integer(0, 2)));
    const double b = std::ldexp(random.real(0.5, 1), -32 - int(random.integer(0, 2)));
    const auto x = std::int32_t(std::int64_t(random.integer(0, 0xffffffff)) + least);
    const auto y = std::int32_t(std::int64_t(random.integer(0, 0x7ffffffe)) - largest_y);
    const double exact = x * a + y * b;
    const std::int64_t sum = FixedPoint(a, b)(x, y);
    CHECK(std::abs(double(sum) - exact) <= 0.5 + (std::abs(double(x)) + std::abs(double(y))) * 0x1p-63);
    ones += sum == 1;
  }
  CHECK(ones > 10);
}
