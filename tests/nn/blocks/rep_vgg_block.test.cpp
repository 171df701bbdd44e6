#include "repopt/nn/blocks/rep_vgg_block.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "repopt/engine/conv.hpp"
#include "repopt/nn/blocks/qa_rep_vgg_block.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// Gives kernels, batch norms and running statistics random values of both signs, as if the block had been trained.
void randomize_parameters(Random& random, Block<double>& block) {
  block.visit_parameters("block", [&](const std::string& name, Parameter<double>& parameter) {
    const bool variance = name.ends_with("running_var");
    fill_random<double>(random, parameter.value, variance ? 0.1 : -1, variance ? 2 : 1);
  });
}

}  // namespace

TEST_CASE_TEMPLATE("The fused convolution computes the same as RepVGG's or QARepVGG's block in evaluation", RepBlock,
                   RepVggBlock<double>, QaRepVggBlock<double>) {
  Random random(1);
  for (const ConvShape& shape : {square(5, 5, 3), square(3, 6, 3), strided(square(4, 4, 3), {2, 2})}) {
    CAPTURE(describe(shape));
    ConvShape shape_1x1 = shape;
    shape_1x1.kernel_size = {1, 1};
    shape_1x1.padding = {0, 0};
    RepBlock block(shape, shape_1x1, shape == square(5, 5, 3));
    randomize_parameters(random, block);
    const FusedConv<double> fused = block.fused();
    const Tensor<double> x = random_tensor<double>(random, {2, 7, 6, shape.in_channels});
    Tensor<double> y;
    conv_forward<double>(fused.shape, x, fused.weight, y);
    for (std::size_t k = 0; k < y.size(); ++k)
      y.data()[k] = std::max(0.0, y.data()[k] + fused.bias[k % shape.out_channels]);
    Tensor<double> expected;
    CHECK(relative_error(y.values(), block.forward(x, Phase::eval).evaluate(expected).values()) < 1e-12);
  }
}

TEST_CASE("A RepVGG block has a batch norm for the identity only if input and output have the same shape") {
  RepVggBlock<float> with(square(4, 4, 3), square(4, 4, 1), true), without(square(4, 6, 3), square(4, 6, 1), false);
  std::string names;
  with.visit_parameters("stage1.1", [&](const std::string& name, Parameter<float>& parameter) {
    if (parameter.requires_grad) names += name + " ";
  });
  CHECK(names ==
        "stage1.1.conv_3x3.weight stage1.1.bn_3x3.weight stage1.1.bn_3x3.bias stage1.1.conv_1x1.weight "
        "stage1.1.bn_1x1.weight stage1.1.bn_1x1.bias stage1.1.bn_identity.weight stage1.1.bn_identity.bias ");
  CHECK(!without.bn_identity);
}
