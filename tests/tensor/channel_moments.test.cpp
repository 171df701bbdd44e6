#include "repopt/tensor/channel_moments.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "support/random.hpp"
#include "support/tensors.hpp"

using namespace repopt::nn;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("Moments stay accurate if the mean is much larger than the deviation", T, float, double) {
  // E[x^2] - E[x]^2 would lose all digits here, because (mean / deviation)^2 exceeds 1 / epsilon.
  const double far = std::is_same_v<T, float> ? 1e4 : 1e9, tolerance = std::is_same_v<T, float> ? 1e-3 : 1e-6;
  Random random(1);
  Tensor<T> x({3, 17, 19, 5});
  for (T& value : x.values()) value = T(far + random.real(-1, 1));
  ChannelMoments moments;
  moments.measure(x);
  REQUIRE(moments.count() == 3 * 17 * 19);
  for (std::size_t c = 0; c < 5; ++c) {
    long double mean = 0, variance = 0;
    for (std::size_t p = 0; p < moments.count(); ++p) mean += (long double)(x.pixel(p)[c]) / 969;
    for (std::size_t p = 0; p < moments.count(); ++p) variance += std::pow(x.pixel(p)[c] - mean, 2) / 969;
    CHECK(moments.mean(c) == doctest::Approx(double(mean)).epsilon(std::is_same_v<T, float> ? 1e-6 : 1e-14));
    CHECK(moments.variance(c) == doctest::Approx(double(variance)).epsilon(tolerance));
  }
}

TEST_CASE("Merging the moments of blocks of any size gives the moments of the whole") {
  Random random(2);
  const Tensor<double> x = random_tensor<double>(random, {1, 10, 10, 3});
  ChannelMoments whole, parts;
  whole.measure_block(x.data(), 100, 3);
  const BlockMoments blocks(&parts, 4);
  std::size_t first = 0, block = 0;
  for (const std::size_t rows : {1U, 60U, 2U, 37U}) {
    blocks.measure(block++, x.pixel(first), rows, 3);
    first += rows;
  }
  blocks.merge();
  REQUIRE(parts.count() == 100);
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(parts.mean(c) == doctest::Approx(whole.mean(c)).epsilon(1e-14));
    CHECK(parts.variance(c) == doctest::Approx(whole.variance(c)).epsilon(1e-14));
  }
}

TEST_CASE("A single pixel has variance 0") {
  const double pixel[] = {3, -4};
  ChannelMoments moments;
  moments.measure_block(pixel, 1, 2);
  CHECK(moments.mean(1) == -4);
  CHECK(moments.variance(1) == 0);
}

TEST_CASE("A process without pictures adds nothing to the moments of the batch") {
  const double part[] = {0, 1, 0, 1}, earlier[] = {0, 100, 0, 100};
  ChannelMoments other, empty, emptied;
  other.measure_block(part, 4, 1);
  emptied.measure_block(earlier, 4, 1);
  emptied.measure(Tensor<double>({0, 2, 2, 1}));
  // The numbers of the other process, which has the mean 1/2 and a sum of squared deviations of 1.
  const std::vector<std::vector<double>> others{{2, 4}, {1}};
  for (const ChannelMoments& own : {empty, emptied}) {
    std::size_t call = 0;
    const auto total = own.over_processes(
        [&](std::span<double> values) {
          REQUIRE(values.size() == others[call].size());
          for (std::size_t k = 0; k < values.size(); ++k) values[k] += others[call][k];
          ++call;
        },
        1);
    CHECK(call == 2);
    CHECK(total.count() == 4);
    CHECK(total.mean(0) == 0.5);
    CHECK(total.variance(0) == 0.25);
  }
  other.merge(empty);
  CHECK(other.count() == 4);
}
