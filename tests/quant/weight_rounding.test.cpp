#include "repopt/quant/weight_rounding.hpp"

#include <doctest/doctest.h>

#include <algorithm>
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

/// A kernel whose output channels differ in size: the smallest has weights of about 1/100, the largest of about 1.
nn::FusedConv<float> uneven_kernel(Random& random) {
  const ConvShape shape{.in_channels = 6, .out_channels = 9, .layout = WeightLayout::hwio};
  nn::FusedConv<float> conv{shape, random.numbers<float>(shape.size()), random.numbers<float>(9)};
  for_each_weight(shape, [&](const WeightIndex& w) {
    conv.weight[shape.offset(w)] *= float(std::pow(10, -2 + 2 * double(w.out) / 8));
  });
  return conv;
}

/// The sum of squared rounding errors. Checks that no weight errs by more than half of its scale.
double weight_error(const nn::FusedConv<float>& conv, const WeightOptions& options) {
  const WeightRounding rounding(conv, options, {});
  double error = 0;
  for_each_weight(conv.shape, [&](const WeightIndex& w) {
    const float weight = conv.weight[conv.shape.offset(w)], scale = rounding.scale(w);
    CHECK(std::abs(float(rounding.quantize(w, weight)) * scale - weight) <= 0.5001F * scale);
    error += std::pow(double(float(rounding.quantize(w, weight)) * scale - weight), 2);
  });
  return error;
}

}  // namespace

TEST_CASE(
    "A scale for each channel gives no weight a larger error bound than one scale does, and a smaller total error") {
  Random random(3);
  for (int k = 0; k < 20; ++k) {
    const nn::FusedConv<float> conv = uneven_kernel(random);
    const std::vector<float> channels = WeightRounding(conv, {Scheme::per_channel}, {}).scales();
    const std::vector<float> tensor = WeightRounding(conv, {Scheme::per_tensor}, {}).scales();
    REQUIRE(channels.size() == 9);
    REQUIRE(tensor.size() == 1);
    for (const float scale : channels) CHECK(scale <= tensor[0]);
    CHECK(*std::ranges::max_element(channels) == tensor[0]);
    CHECK(weight_error(conv, {Scheme::per_channel}) < 0.5 * weight_error(conv, {Scheme::per_tensor}));
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
  const std::vector<float> scales = WeightRounding(conv, {}, input).scales();
  CHECK(scales[0] > 0);
  CHECK(1 / (double(scales[1]) * 0.01) < 1.001 * double(1 << 30));
  conv.weight[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(WeightRounding(conv, {}, input), std::invalid_argument);
}

TEST_CASE(
    "Weights of b bits are integers up to 2^(b - 1) - 1, and their scale is the largest weight over that integer") {
  Random random(5);
  const nn::FusedConv<float> conv = uneven_kernel(random);
  const float largest = std::abs(*std::ranges::max_element(conv.weight, {}, [](float w) { return std::abs(w); }));
  for (int bits = 2; bits <= 8; ++bits) {
    CAPTURE(bits);
    const WeightRounding rounding(conv, {Scheme::per_tensor, bits}, {});
    const int largest_integer = (1 << (bits - 1)) - 1;
    CHECK(rounding.scales()[0] == doctest::Approx(largest / float(largest_integer)).epsilon(1e-6));
    int seen = 0;
    for_each_weight(conv.shape, [&](const WeightIndex& w) {
      seen = std::max(seen, std::abs(rounding.quantize(w, conv.weight[conv.shape.offset(w)])));
    });
    CHECK(seen == largest_integer);
    CHECK(rounding.quantize({}, 1e9F) == largest_integer);
    CHECK(rounding.quantize({}, -1e9F) == -largest_integer);
  }
  for (const int bits : {1, 9}) CHECK_THROWS_AS(WeightRounding(conv, {.bits = bits}, {}), std::invalid_argument);
}

TEST_CASE(
    "A split gives the centre diagonal a scale of its own, and the other weights the scales that they have alone") {
  Random random(6);
  const ConvShape shape{.in_channels = 6, .out_channels = 6, .layout = WeightLayout::hwio};
  nn::FusedConv<float> without{shape, random.numbers<float>(shape.size()), random.numbers<float>(6)}, conv = without;
  for (std::size_t c = 0; c < 6; ++c) {
    without.weight[shape.offset({.out = c, .in = c, .row = 1, .column = 1})] = 0;
    conv.weight[shape.offset({.out = c, .in = c, .row = 1, .column = 1})] = 20 + float(c);
  }
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel})
    for (const int bits : {8, 16}) {
      const WeightRounding split(conv, {scheme, 5, bits}, {});
      REQUIRE(split.is_split());
      CHECK(split.scales() == WeightRounding(without, {scheme, 5}, {}).scales());
      CHECK(split.diagonal_scale() == doctest::Approx(25.0 / (bits == 8 ? 127 : 32767)).epsilon(1e-6));
      CHECK(weight_error(conv, {scheme, 5, bits}) < 0.1 * weight_error(conv, {scheme, 5}));
    }
}

TEST_CASE("Only kernels whose centre tap reads the output's own pixel in the same channel have a centre diagonal") {
  const ConvShape shape{.in_channels = 6, .out_channels = 6};
  CHECK(has_centre_diagonal(shape));
  const auto without = [&](auto change) {
    ConvShape changed = shape;
    change(changed);
    return !has_centre_diagonal(changed);
  };
  CHECK(without([](ConvShape& s) { s.out_channels = 7; }));
  CHECK(without([](ConvShape& s) { s.stride = {2, 1}; }));
  CHECK(without([](ConvShape& s) { s.kernel_size = {3, 4}; }));
  CHECK(without([](ConvShape& s) { s.padding = {0, 0}; }));
  CHECK(without([](ConvShape& s) { s.dilation = {2, 2}; }));
  CHECK(without([](ConvShape& s) { s.groups = 2; }));
  ConvShape dilated = shape;
  dilated.padding = dilated.dilation = {2, 2};
  CHECK(has_centre_diagonal(dilated));
  const nn::FusedConv<float> strided{
      {.in_channels = 2, .out_channels = 2, .stride = {2, 2}, .layout = WeightLayout::hwio},
      std::vector<float>(36, 1.0F),
      {0, 0}};
  CHECK_FALSE(WeightRounding(strided, {.diagonal_bits = 8}, {}).is_split());
}

TEST_CASE("A channel of weights that are too small for a scale rounds to 0") {
  const ConvShape shape{.out_channels = 2, .kernel_size = {1, 1}, .padding = {0, 0}};
  const WeightRounding rounding(nn::FusedConv<double>{shape, {1, 1e-44}, {0, 0}}, {}, {});
  CHECK(rounding.scales()[1] == 1);
  CHECK(rounding.quantize({.out = 1}, 1e-44) == 0);
}

TEST_CASE("Numbers that do not fit the kernel, or a float, are refused") {
  const ConvShape shape{.out_channels = 2, .kernel_size = {1, 1}, .padding = {0, 0}};
  const auto refuses = [&](const nn::FusedConv<double>& conv, const char* message) {
    CHECK_THROWS_WITH_AS(WeightRounding(conv, {}, {}), doctest::Contains(message), std::invalid_argument);
  };
  refuses({shape, {1}, {0, 0}}, "has 2 weights and 2 biases, there are 1 and 2");
  refuses({shape, {1, 1}, {}}, "has 2 weights and 2 biases, there are 2 and 0");
  refuses({shape, {1, 1e300}, {0, 0}}, "a kernel or bias to quantize holds numbers up to 1e+300");
}
