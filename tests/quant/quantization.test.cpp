#include "repopt/quant/quantization.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "support/random.hpp"

using namespace repopt;
using namespace repopt::quant;
using namespace repopt::testing;

TEST_CASE("A quantization maps its levels to themselves, rounds ties to even and clamps values beyond its ends") {
  const Quantization q{.scale = 0.5F, .zero_point = 10};
  for (int level = 0; level < 256; ++level) CHECK(q.quantize(q.dequantize(std::uint8_t(level))) == std::uint8_t(level));
  CHECK(q.dequantize(10) == 0);
  CHECK(q.quantize(0.25F) == 10);
  CHECK(q.quantize(0.75F) == 12);
  CHECK(q.quantize(-0.25F) == 10);
  CHECK(q.quantize(-1e30F) == 0);
  CHECK(q.quantize(1e30F) == 255);
  CHECK(q.quantize(std::numeric_limits<float>::quiet_NaN()) == 0);
  CHECK(q.low() == -5);
  CHECK(q.high() == 122.5F);
}

TEST_CASE("A quantization covers its range, has zero as a level, and errs by at most half a step inside") {
  Random random(2);
  for (int k = 0; k < 200; ++k) {
    const double low = random.real(-3, 1), high = low + random.real(0.01, 5);
    const int bits = int(random.integer(2, 8));
    const Quantization q = Quantization::of_range(low, high, bits);
    CHECK(q.largest_level() == (1 << bits) - 1);
    CHECK(q.quantize(1e30F) == q.largest_level());
    CHECK(q.dequantize(q.quantize(0)) == 0);
    CHECK(q.low() <= std::min(low, 0.0) + 0.51 * double(q.scale));
    CHECK(q.high() >= std::max(high, 0.0) - 0.51 * double(q.scale));
    const float x = float(random.real(double(q.low()), double(q.high())));
    CHECK(std::abs(q.dequantize(q.quantize(x)) - x) <= 0.5001F * q.scale);
  }
  CHECK(Quantization::of_range(0, 0) == Quantization{});
  CHECK(Quantization::of_range(1, 2).zero_point == 0);
  CHECK(Quantization::of_range(-2, -1).zero_point == 255);
  CHECK(Quantization::of_range(-2, -1, 4).zero_point == 15);
  CHECK_THROWS_WITH_AS(Quantization::of_range(0, 1, 9), "the bits of activations must be 2 to 8, they are 9",
                       std::invalid_argument);
  CHECK_THROWS_AS(Quantization::of_range(1, 0), std::invalid_argument);
  CHECK_THROWS_AS(Quantization::of_range(0, std::numeric_limits<double>::infinity()), std::invalid_argument);
  CHECK_THROWS_WITH_AS(Quantization::of_range(0, 1e300), "the range 0 to 1e+300 is too wide for a scale of type float",
                       std::invalid_argument);
}
