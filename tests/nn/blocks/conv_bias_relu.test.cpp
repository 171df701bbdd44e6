#include "repopt/nn/blocks/conv_bias_relu.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

#include "support/block_kinds.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

TEST_CASE("ConvBiasRelu starts at a fused convolution of any layout") {
  Random random(1);
  const ConvShape oihw = square(3, 4, 3);
  const FusedConv<double> fused{oihw, random.numbers<double>(oihw.size()), random.numbers<double>(4)};
  const ConvBiasRelu<double> block(fused);
  CHECK(block.conv.shape().layout == WeightLayout::hwio);
  for_each_weight(oihw, [&](const WeightIndex& weight) {
    CHECK(block.conv.weight.value[block.conv.shape().offset(weight)] == fused.weight[oihw.offset(weight)]);
  });
  CHECK(block.bias.value == fused.bias);
  CHECK(ConvBiasRelu<double>(block.fused()).fused().weight == block.fused().weight);
}

TEST_CASE("ConvBiasRelu refuses a kernel or a bias of the wrong length") {
  const ConvShape shape = square(3, 4, 3);
  const std::vector<double> weight(shape.size());
  CHECK_THROWS_WITH_AS(ConvBiasRelu<double>({shape, weight, {1, 2}}), "bias has 2 elements, out_channels is 4",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(ConvBiasRelu<double>({shape, {1, 2, 3}, {1, 2, 3, 4}}),
                       doctest::Contains("has 108 weights, the buffers hold 3 and 108"), std::invalid_argument);
}
