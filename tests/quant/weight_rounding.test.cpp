#include "repopt/quant/quantization.hpp"

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
