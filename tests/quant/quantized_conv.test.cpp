#include "repopt/quant/quantized_conv.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "support/random.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::quant;
using namespace repopt::testing;

namespace {

/// The convolution by its definition, in 64-bit integers. Calls visit(pixel, out_channel, sum).
void naive_sums(const ConvShape& shape, const Tensor<std::uint8_t>& x, int zero_point,
                const std::vector<std::int8_t>& weight, const std::vector<std::int32_t>& bias, auto visit) {
  const ImageShape y = conv_output_shape(shape, x.shape());
  const auto source = [&](std::size_t out, std::size_t tap, std::size_t axis) {
    return std::ptrdiff_t(out * shape.stride[axis] + tap * shape.dilation[axis]) - std::ptrdiff_t(shape.padding[axis]);
  };
  for (std::size_t pixel = 0; pixel < y.pixels(); ++pixel)
    for (std::size_t out = 0; out < y.channels; ++out) {
      std::int64_t sum = bias[out];
      for_each_weight(shape, [&](const WeightIndex& w) {
        if (w.out != out) return;
        const std::ptrdiff_t row = source(pixel / y.width % y.height, w.row, 0);
        const std::ptrdiff_t column = source(pixel % y.width, w.column, 1);
        if (row < 0 || column < 0 || row >= std::ptrdiff_t(x.shape().height) ||
            column >= std::ptrdiff_t(x.shape().width))
          return;
        const std::size_t image = pixel / (y.height * y.width);
        const std::size_t from = (image * x.shape().height + std::size_t(row)) * x.shape().width + std::size_t(column);
        sum += std::int64_t(weight[shape.offset(w)]) * (int(x.pixel(from)[w.in]) - zero_point);
      });
      visit(pixel, out, sum);
    }
}

}  // namespace

TEST_CASE("Integer convolutions equal their definition for random kernels, strides, paddings, dilations, zero points") {
  Random random(1);
  for (int k = 0; k < 60; ++k) {
    ConvShape shape = random_target(random);
    shape.groups = 1;
    shape.layout = WeightLayout::ohwi;
    CAPTURE(describe(shape));
    Tensor<std::uint8_t> x({random.integer(1, 2), random.integer(5, 9), random.integer(5, 9), shape.in_channels});
    for (std::uint8_t& value : x.values()) value = std::uint8_t(random.integer(0, 255));
    std::vector<std::int8_t> weight(shape.size());
    for (std::int8_t& value : weight) value = std::int8_t(int(random.integer(0, 254)) - 127);
    std::vector<std::int32_t> bias(shape.out_channels);
    for (std::int32_t& value : bias) value = std::int32_t(random.integer(0, 100000)) - 50000;
    const auto zero_point = std::uint8_t(random.integer(0, 255));
    const QuantizedConv conv({shape, weight, {1}, bias}, {.scale = 1, .zero_point = zero_point});
    std::vector<std::int32_t> sums(conv_output_shape(shape, x.shape()).size(), 1 << 30);
    conv.forward(x, [&](std::size_t pixel, std::span<const std::int32_t> values) {
      std::ranges::copy(values, sums.begin() + std::ptrdiff_t(pixel * shape.out_channels));
    });
    std::size_t wrong = 0;
    naive_sums(shape, x, zero_point, weight, bias, [&](std::size_t pixel, std::size_t out, std::int64_t sum) {
      wrong += sums[pixel * shape.out_channels + out] != sum;
    });
    CHECK(wrong == 0);
  }
}

TEST_CASE("The longest sum that is allowed does not overflow at the largest values, and longer ones are refused") {
  const ConvShape shape{
      .in_channels = 65000, .out_channels = 1, .kernel_size = {1, 1}, .padding = {0, 0}, .layout = WeightLayout::ohwi};
  const QuantizedConv conv({shape, std::vector<std::int8_t>(65000, -128), {1}, {-1000000}}, {});
  Tensor<std::uint8_t> x({1, 1, 1, 65000});
  std::ranges::fill(x.values(), std::uint8_t(255));
  conv.forward(
      x, [](std::size_t, std::span<const std::int32_t> sums) { CHECK(sums[0] == -65000LL * 128 * 255 - 1000000); });
  ConvShape longer = shape;
  longer.in_channels = 65800;
  CHECK_THROWS_AS(QuantizedConv({longer, std::vector<std::int8_t>(65800), {1}, {0}}, {}), std::invalid_argument);
  CHECK_THROWS_AS(QuantizedConv({shape, std::vector<std::int8_t>(65000), {1}, {1 << 30}}, {}), std::invalid_argument);
}

TEST_CASE("Weights and diagonals that do not fit their bits, their shape or each other are refused") {
  const ConvShape shape{.in_channels = 2, .out_channels = 2, .layout = WeightLayout::ohwi};
  const QuantizedWeights good{shape, std::vector<std::int8_t>(36, 7), {1}, {0, 0}, 4, {1, 2}, 0.5F};
  const auto refused = [&](auto change, const char* message) {
    QuantizedWeights weights = good;
    change(weights);
    CHECK_THROWS_WITH_AS(QuantizedConv(weights, {}), doctest::Contains(message), std::invalid_argument);
  };
  CHECK(QuantizedConv(good, {.zero_point = 3}).product(1, 5) == 2 * (5 - 3));
  refused([](QuantizedWeights& w) { w.weight[3] = 8; }, "a weight is 8, which does not fit 4 bits");
  refused([](QuantizedWeights& w) { w.bits = 9; }, "the bits of weights must be 2 to 8, they are 9");
  refused([](QuantizedWeights& w) { w.diagonal = {1}; }, "a centre diagonal has 1 elements, out_channels is 2");
  refused([](QuantizedWeights& w) { w.diagonal[1] = 32768; }, "holds 32768, which does not fit 16 bits");
  refused([](QuantizedWeights& w) { w.diagonal_scale = 0; }, "must be finite and > 0, it is 0");
  refused([](QuantizedWeights& w) { w.shape.stride = {2, 2}; }, "this convolution has none");
}
