#include "repopt/nn/blocks/qa_rep_vgg_block.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "support/block_kinds.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// Returns relu(bn(bn_3x3(conv 3x3) + conv 1x1 + identity * x)) of the block's layers in training, layer by layer.
Tensor<double> by_layers(QaRepVggBlock<double> block, const Tensor<double>& x, double identity) {
  Tensor<double> sum = block.bn_3x3.forward(block.conv_3x3.forward(x), Phase::train);
  const Tensor<double>& of_1x1 = block.conv_1x1.forward(x);
  for (std::size_t k = 0; k < sum.size(); ++k)
    sum.values()[k] += of_1x1.values()[k] + (identity == 0 ? 0 : identity * x.values()[k]);
  return block.bn.forward(sum, Phase::train);
}

}  // namespace

TEST_CASE("QARepVGG's block adds the bare 1x1 and x to the normalised 3x3, and normalises the sum") {
  Random random(1);
  for (const ConvShape& shape : {square(4, 4, 3), square(3, 6, 3), strided(square(4, 4, 3), {2, 2})}) {
    CAPTURE(describe(shape));
    const bool has_identity = shape == square(4, 4, 3);
    QaRepVggBlock<double> block(shape, with_kernel(shape, {1, 1}), has_identity);
    block.visit_parameters("block", [&](const std::string&, Parameter<double>& parameter) {
      if (parameter.requires_grad) fill_random<double>(random, parameter.value);
    });
    const Tensor<double> x = random_tensor<double>(random, {2, 7, 6, shape.in_channels});
    const Tensor<double> expected = by_layers(block, x, has_identity),
                         weighted = by_layers(block, x, has_identity ? 0.5 : 0);
    Tensor<double> memory;
    const Tensor<double>& y = block.forward(x, Phase::train).evaluate(memory);
    CHECK(relative_error(y.values(), expected.values()) < 1e-12);
    if (has_identity) CHECK(relative_error(y.values(), weighted.values()) > 1e-3);
  }
}

TEST_CASE("QARepVGG's block has two batch norms and no parameter for the identity") {
  for (const bool has_identity : {true, false}) {
    QaRepVggBlock<float> block(square(4, 4, 3), square(4, 4, 1), has_identity);
    std::string names;
    block.visit_parameters("stage1.1", [&](const std::string& name, Parameter<float>& parameter) {
      if (parameter.requires_grad) names += name + " ";
    });
    CHECK(names ==
          "stage1.1.conv_3x3.weight stage1.1.bn_3x3.weight stage1.1.bn_3x3.bias stage1.1.conv_1x1.weight "
          "stage1.1.bn.weight stage1.1.bn.bias ");
    std::size_t batch_norms = 0;
    block.visit_batch_norms([&](BatchNorm2d<float>&) { ++batch_norms; });
    CHECK(batch_norms == 2);
  }
}
