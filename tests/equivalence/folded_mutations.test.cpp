// Folded training that is wrong on purpose. Each mistake must miss, by more than 1e-4, the comparison that the right
// training passes with less than 1e-12.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/core/folded_kernel.hpp"
#include "support/block_kinds.hpp"
#include "support/folded_blocks.hpp"
#include "support/follow_folded.hpp"
#include "support/random.hpp"

namespace {

using namespace repopt;
using namespace repopt::testing;

/// RepVGG's branches and a sequence, with trained scales of mixed sign.
FoldedBlock<double> searched_block() {
  using Folded = FoldedBranch<double>;
  Random random(26);
  const auto scale = [&] {
    std::vector<double> values(4);
    for (double& s : values) s = random.real(0.3, 1.2) * (random.integer(0, 1) ? -1 : 1);
    return values;
  };
  FoldedBlock<double> block{square(4, 4, 3)};
  block.add(random, Folded::conv({square(4, 4, 3), scale()}), true);
  block.add(random, Folded::conv({square(4, 4, 1), scale()}), true);
  block.add(random, Folded::conv(Branch<double>::identity(4)), false);
  block.add(random, Folded::sequence(square(4, 5, 1), square(5, 4, 3), scale()), true);
  return block;
}

const Training<Sgd> folded_sgd{.options = {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true}};
const Training<Adam> folded_adam{.options = {.lr = 0.01, .weight_decay = 0.05}};
const Training<Lamb> folded_lamb{.options = {.lr = 0.01, .weight_decay = 0.05}};

/// Runs the right training and the wrong one through the same comparison, by three rules.
void must_miss(const FoldedMutation<double>& mutation) {
  const auto misses = [&](const auto& training) {
    const FoldedBlock<double> block = searched_block();
    CHECK(follow_folded(block, training).largest() < 1e-12);
    const FoldedStrayed wrong = follow_folded(block, training, mutation);
    CHECK(wrong.average > 1e-4);
    if (mutation.averages_kernel) return;  // the training itself is right
    CHECK(wrong.output > 1e-4);
    CHECK(wrong.parameters > 1e-4);
  };
  misses(folded_sgd);
  misses(folded_adam);
  misses(folded_lamb);
}

}  // namespace

TEST_CASE("A scale whose gradient is missing misses") {
  must_miss({.after_add_gradients = [](const FoldedKernel<double>& folded) {
    std::ranges::fill(folded.parameters()[1].grad, 0.0);
  }});
}

TEST_CASE("A forgotten place of the kernel misses") {
  for (const std::size_t place : {std::size_t(4), std::size_t(9), std::size_t(143)})
    must_miss({.before_add_gradients = [=](std::span<double> kernel_grad) { kernel_grad[place] = 0; }});
}

TEST_CASE("Weight gradients that are multiplied by s twice miss") {
  must_miss({.after_add_gradients = [](const FoldedKernel<double>& folded) {
    const FoldedParameter<double>&weight = folded.parameters()[0], &scale = folded.parameters()[1];
    for_each_weight(*weight.shape,
                    [&](const WeightIndex& w) { weight.grad[weight.shape->offset(w)] *= scale.value[w.out]; });
  }});
}

TEST_CASE("Trained scales that decay miss") { must_miss({.decays_scales = true}); }

TEST_CASE("Averaging the kernel instead of weights and scales misses") { must_miss({.averages_kernel = true}); }
