#include "repopt/core/grad_mult.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("GradMult is the sum of s^2 over the branches that have a weight at a place", T, double, float) {
  Random random(40);
  for (int trial = 0; trial < 100; ++trial) {
    const CslaBlock<T> block = random_block<T>(random);
    INFO("target [", describe(block.target()), "], branches ", block.branches().size());
    std::vector<T> expected(block.target().size());
    for (const Branch<T>& branch : block.branches())
      embed(branch.shape, block.target(), [&](std::size_t out_channel, std::size_t place, std::size_t) {
        expected[place] += branch.scale[out_channel] * branch.scale[out_channel];
      });
    const GradMult<T> grad_mult(block);
    CHECK(grad_mult.dense() == expected);
    CHECK(GradMult<T>(block).dense() == expected);
  }
}
