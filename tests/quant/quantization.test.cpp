#include "repopt/quant/quantization.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "repopt/quant/calibration.hpp"
#include "repopt/quant/fixed_point.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::quant;
using namespace repopt::testing;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

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
double error_of(const std::vector<double>& values, const Range& range) {
  const Quantization q = Quantization::of_range(range.low, range.high);
  double error = 0;
  for (const double value : values)
    error += std::pow(double(q.dequantize(q.quantize(float(value)))) - value, 2) / double(values.size());
  return error;
}

/// A kernel whose output channels differ in size: the smallest has weights of about 1/100, the largest of about 1.
nn::FusedConv<float> uneven_kernel(Random& random) {
  const ConvShape shape{.in_channels = 6, .out_channels = 9, .layout = WeightLayout::hwio};
  nn::FusedConv<float> conv{shape, random.numbers<float>(shape.size()), random.numbers<float>(9)};
  for_each_weight(shape, [&](const WeightIndex& w) {
    conv.weight[shape.offset(w)] *= float(std::pow(10, -2 + 2 * double(w.out) / 8));
  });
  return conv;
}

double weight_error(const nn::FusedConv<float>& conv, Scheme scheme) {
  const std::vector<float> scales = weight_scales(conv, scheme, {});
  double error = 0;
  for_each_weight(conv.shape, [&](const WeightIndex& w) {
    const float weight = conv.weight[conv.shape.offset(w)], scale = scale_of(scales, w.out);
    CHECK(std::abs(float(quantize_weight(weight, scale)) * scale - weight) <= 0.5001F * scale);
    error += std::pow(double(float(quantize_weight(weight, scale)) * scale - weight), 2);
  });
  return error;
}

}  // namespace

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
    const Quantization q = Quantization::of_range(low, high);
    CHECK(q.dequantize(q.quantize(0)) == 0);
    CHECK(q.low() <= std::min(low, 0.0) + 0.51 * double(q.scale));
    CHECK(q.high() >= std::max(high, 0.0) - 0.51 * double(q.scale));
    const float x = float(random.real(double(q.low()), double(q.high())));
    CHECK(std::abs(q.dequantize(q.quantize(x)) - x) <= 0.5001F * q.scale);
  }
  CHECK(Quantization::of_range(0, 0) == Quantization{});
  CHECK(Quantization::of_range(1, 2).zero_point == 0);
  CHECK(Quantization::of_range(-2, -1).zero_point == 255);
  CHECK_THROWS_AS(Quantization::of_range(1, 0), std::invalid_argument);
  CHECK_THROWS_AS(Quantization::of_range(0, infinity), std::invalid_argument);
}

TEST_CASE(
    "A scale for each channel gives no weight a larger error bound than one scale does, and a smaller total error") {
  Random random(3);
  for (int k = 0; k < 20; ++k) {
    const nn::FusedConv<float> conv = uneven_kernel(random);
    const std::vector<float> channels = weight_scales(conv, Scheme::per_channel, {});
    const std::vector<float> tensor = weight_scales(conv, Scheme::per_tensor, {});
    REQUIRE(channels.size() == 9);
    REQUIRE(tensor.size() == 1);
    for (const float scale : channels) CHECK(scale <= tensor[0]);
    CHECK(*std::ranges::max_element(channels) == tensor[0]);
    CHECK(weight_error(conv, Scheme::per_channel) < 0.5 * weight_error(conv, Scheme::per_tensor));
  }
}

TEST_CASE("A channel of tiny weights gets a scale large enough for its bias to fit 32 bits") {
  Random random(4);
  nn::FusedConv<float> conv = uneven_kernel(random);
  for_each_weight(conv.shape, [&](const WeightIndex& w) {
    if (w.out < 2) conv.weight[conv.shape.offset(w)] = w.out == 0 ? 0.0F : 1e-20F;
  });
  conv.bias[0] = 0;
  conv.bias[1] = 1;
  const Quantization input{.scale = 0.01F};
  const std::vector<float> scales = weight_scales(conv, Scheme::per_channel, input);
  CHECK(scales[0] > 0);
  CHECK(1 / (double(scales[1]) * 0.01) < 1.001 * double(1 << 30));
  conv.weight[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(weight_scales(conv, Scheme::per_channel, input), std::invalid_argument);
}

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
  for (const double factor : {-0.1, double(1 << 30), infinity, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(FixedPoint{factor}, std::invalid_argument);
}

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
  const Range chosen = calibrated_range(histogram, Calibration::mse);
  CHECK(chosen.high < 0.95 * histogram.range().high);
  for (double high = 2; high < histogram.range().high; high += 0.25)
    CHECK(error_of(values, chosen) < 1.01 * error_of(values, {0, high}));
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
  CHECK_THROWS_WITH_AS(range.include(infinity), "an activation is inf", std::invalid_argument);
}
