// net_blocks: one CSLA block for each kind of layer, for small networks.
#pragma once

#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/libtorch/tensor_block.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"

namespace repopt::libtorch::testing {

inline const torch::optim::SGDOptions sgd =
    torch::optim::SGDOptions(0.02).momentum(0.9).weight_decay(1e-2).nesterov(true);
inline const torch::optim::AdamWOptions adamw = torch::optim::AdamWOptions(2e-3).weight_decay(0.05);

/// Four layers: RepVGG's block without and with a depthwise 1x1, a grouped block of stride 2 with an asymmetric branch,
/// and a fully connected one with a residual. The scales have both signs, and one in ten is 0.
inline CslaBlocks net_blocks() {
  using repopt::testing::square, repopt::testing::strided, repopt::testing::with_kernel;
  repopt::testing::Random random(7);
  const ConvShape first = square(3, 6, 3), second = square(6, 6, 3), linear = ConvShape::linear(6, 6);
  const ConvShape grouped = strided(square(6, 6, 3, 1, 2), {2, 2});
  const std::vector<std::pair<std::string, std::vector<ConvShape>>> shapes{
      {"conv0.weight", {first, first, square(3, 6, 1)}},
      {"conv1.weight", {second, second, square(6, 6, 1), ConvShape::depthwise_1x1(6)}},
      {"conv2.weight", {grouped, grouped, with_kernel(grouped, {1, 3}), ConvShape::depthwise_1x1(6, {2, 2})}},
      {"mix.weight", {linear, linear, ConvShape::depthwise_1x1(6)}},
  };
  CslaBlocks blocks;
  for (const auto& [name, target_and_branches] : shapes) {
    std::vector<Branch<double>> branches;
    for (std::size_t i = 1; i < target_and_branches.size(); ++i)
      branches.emplace_back(target_and_branches[i], repopt::testing::random_scale<double>(random, 6));
    blocks.emplace(name, CslaBlock<double>(target_and_branches[0], branches));
  }
  return blocks;
}

/// The blocks with f(s) in the place of each scale s.
CslaBlocks with_scales(const CslaBlocks& blocks, auto f) {
  CslaBlocks changed;
  for (const auto& [name, block] : blocks) {
    auto branches = block.branches();
    for (auto& branch : branches)
      for (double& s : branch.scale) s = f(s);
    changed.emplace(name, CslaBlock<double>(block.target(), branches));
  }
  return changed;
}

}  // namespace repopt::libtorch::testing
