#include "repopt/quant/calibration.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include "support/random.hpp"

using namespace repopt;
using namespace repopt::quant;
using namespace repopt::testing;

namespace {

Histogram histogram_of(const std::vector<double>& values) {
  Range range;
  for (const double value : values) range.include(value);
  Histogram histogram(range);
  for (const double value : values) histogram.add(value);
  return histogram;
}

/// Exponentially distributed numbers. They have a long tail, like activations.
std::vector<double> exponential(std::size_t count) {
  Random random(1);
  std::vector<double> values(count);
  for (double& value : values) value = -std::log(1 - random.real(0, 1));
  return values;
}

/// The mean squared error of quantizing `values` in `range`, computed from the values instead of a histogram.
double error_of(const std::vector<double>& values, const Range& range, int bits) {
  const Quantization q = Quantization::of_range(range.low, range.high, bits);
  double error = 0;
  for (const double value : values)
    error += std::pow(double(q.dequantize(q.quantize(float(value)))) - value, 2) / double(values.size());
  return error;
}

}  // namespace

TEST_CASE("Min-max covers all values, a percentile cuts the tails, mse and entropy keep evenly spread values") {
  std::vector<double> even;
  for (int k = 0; k < 100000; ++k) even.push_back(double(k) / 50000 - 1);
  const Histogram histogram = histogram_of(even);
  const auto range = [&](Calibration calibration) { return calibrated_range(histogram, calibration, 99); };
  CHECK(range(Calibration::min_max).low == -1);
  CHECK(range(Calibration::min_max).high == doctest::Approx(0.99998));
  CHECK(range(Calibration::percentile).low == doctest::Approx(-0.98).epsilon(0.002));
  CHECK(range(Calibration::percentile).high == doctest::Approx(0.98).epsilon(0.002));
  CHECK(range(Calibration::mse).low < -0.99);
  CHECK(range(Calibration::entropy).low < -0.99);
  CHECK(calibrated_range(histogram, Calibration::percentile, 100).low == -1);
}

TEST_CASE("No range has a mean squared error more than one per cent below that of the range chosen by mse") {
  const std::vector<double> values = exponential(100000);
  const Histogram histogram = histogram_of(values);
  double high_before = 0;
  for (const int bits : {4, 5, 8}) {
    CAPTURE(bits);
    const Range chosen = calibrated_range(histogram, Calibration::mse, 99.99, bits);
    CHECK(chosen.high > high_before);  // fewer levels cover less
    CHECK(chosen.high < 0.95 * histogram.range().high);
    for (double high = 2; high < histogram.range().high; high += 0.25)
      CHECK(error_of(values, chosen, bits) < 1.01 * error_of(values, {0, high}, bits));
    high_before = chosen.high;
  }
}

TEST_CASE("Entropy excludes far outliers, and the number of zeros changes neither its range nor that of mse") {
  std::vector<double> values = exponential(100000);
  values.insert(values.end(), 5, 60);
  const Range chosen = calibrated_range(histogram_of(values), Calibration::entropy);
  CHECK(chosen.high < 20);
  CHECK(chosen.high > 5);
  for (const Calibration calibration : {Calibration::entropy, Calibration::mse}) {
    std::vector<double> with_zeros = values;
    with_zeros.insert(with_zeros.end(), 1000000, 0);
    CHECK(calibrated_range(histogram_of(with_zeros), calibration).high ==
          calibrated_range(histogram_of(values), calibration).high);
  }
}

TEST_CASE("A histogram counts the values outside a range, and an activation that is always zero has a quantization") {
  std::vector<double> values(90, 0.5);
  values.insert(values.end(), 10, 2);
  CHECK(histogram_of(values).outside({0, 1}) == 10);
  const std::vector<double> zeros(10, 0.0);
  for (const Calibration calibration :
       {Calibration::min_max, Calibration::percentile, Calibration::mse, Calibration::entropy}) {
    const Range range = calibrated_range(histogram_of(zeros), calibration);
    CHECK(Quantization::of_range(range.low, range.high).quantize(0) == 0);
  }
}

TEST_CASE("Calibration refuses an empty histogram, an impossible percentile and values that are not finite") {
  CHECK_THROWS_WITH_AS(calibrated_range(Histogram({0, 1}), Calibration::min_max),
                       "there are no values to calibrate with", std::invalid_argument);
  for (const double percentile : {50.0, 100.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(calibrated_range(histogram_of({1}), Calibration::percentile, percentile), std::invalid_argument);
  Range range;
  CHECK_THROWS_WITH_AS(range.include(std::numeric_limits<double>::infinity()), "an activation is inf",
                       std::invalid_argument);
  Histogram histogram({0, 1});
  CHECK_THROWS_WITH_AS(histogram.add(std::numeric_limits<double>::quiet_NaN()), "an activation is nan",
                       std::invalid_argument);
  CHECK(histogram.total() == 0);
}
