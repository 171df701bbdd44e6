// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "libtorch/net_blocks.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::CslaBlocks;
using torch::Tensor;

TEST_CASE("initialize() draws as torch's layers do, with 1 for an identity, and changes nothing else") {
  const CslaBlocks blocks = net_blocks();
  Net net(blocks, false);
  const Tensor head = net.head->weight.detach().clone();
  torch::manual_seed(3);
  libtorch::initialize(net, blocks);
  torch::manual_seed(3);
  libtorch::BranchWeights drawn;
  for (const auto& [name, block] : blocks) drawn[name] = libtorch::draw_branch_weights(block, torch::kFloat);
  Net expected(blocks, false);
  libtorch::initialize(expected, blocks, drawn);
  for (const auto& [name, block] : blocks) CHECK(net.named_parameters()[name].equal(expected.named_parameters()[name]));
  CHECK(net.head->weight.equal(head));

  const CslaBlock<double> residual(ConvShape::linear(6, 6),
                                   {Branch<double>::identity(6), {ConvShape::depthwise_1x1(6), 1}});
  const std::vector<Tensor> residual_weights = libtorch::draw_branch_weights(residual, torch::kFloat);
  CHECK(residual_weights[0].eq(1).all().item<bool>());
  CHECK(residual_weights[1].ne(1).all().item<bool>());  // not an identity by its numbers
  const Tensor kernel = libtorch::draw_branch_weights(blocks.at("conv1.weight"), torch::kFloat)[0];
  CHECK(kernel.abs().max().item<double>() <= 1 / std::sqrt(54.0));
  CHECK(kernel.abs().max().item<double>() > 0.9 / std::sqrt(54.0));
}

TEST_CASE("initialize() refuses blocks and weights that do not fit, by name, before it changes anything") {
  const CslaBlocks blocks = net_blocks();
  Net net(blocks, false);
  const Tensor kernel = net.named_parameters()["conv0.weight"], before = kernel.detach().clone();
  const auto refused = [&](const char* message, const CslaBlocks& given, const libtorch::BranchWeights& weights) {
    CHECK_THROWS_WITH_AS(libtorch::initialize(net, given, weights), message, std::invalid_argument);
    CHECK(kernel.equal(before));
  };
  libtorch::BranchWeights weights;
  for (const auto& [name, block] : blocks) weights[name] = libtorch::draw_branch_weights(block, torch::kFloat);
  CslaBlocks unknown = blocks, wrong = blocks;
  unknown.emplace("conv9.weight", blocks.at("conv0.weight"));
  wrong.at("conv1.weight") = blocks.at("conv0.weight");
  libtorch::BranchWeights fewer = weights, more = weights, larger = weights;
  fewer.erase("mix.weight");
  more["head.weight"];
  larger["mix.weight"][1] = torch::ones({7});
  refused("there is a block for 'conv9.weight', but no such parameter", unknown, weights);
  refused(
      "'conv1.weight' has sizes (6, 6, 3, 3), the block's target is [conv 3->6, kernel 3x3, padding 1x1, stride 1x1, "
      "dilation 1x1, groups 1, oihw]",
      wrong, weights);
  refused("the block of 'mix.weight' has 2 branches, 0 weights were given", blocks, fewer);
  refused("there are branch weights for 'head.weight', but no block", blocks, more);
  refused(
      "weight 1 of 'mix.weight' has 7 elements, branch [conv 6->6, kernel 1x1, padding 0x0, stride 1x1, dilation 1x1, "
      "groups 6, oihw] has 6",
      blocks, larger);
  CslaBlocks too_large = blocks;
  too_large.at("mix.weight") = {blocks.at("mix.weight").target(), {{ConvShape::linear(6, 6), 1e30}}};
  weights["mix.weight"].resize(1);
  refused("branch 0 of 'mix.weight' has the scale 1e+30, its square is not finite in Float", too_large, weights);
}
