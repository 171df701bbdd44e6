// Tests how a FoldedKernel uses its memory: gradients that are written or added to, moves, threads, allocations.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "support/allocations.hpp"
#include "support/block_kinds.hpp"
#include "support/folded_blocks.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/thread_counts.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

template <class T>
std::vector<std::vector<T>> gradients_of(const FoldedKernel<T>& folded) {
  std::vector<std::vector<T>> gradients;
  for (const FoldedParameter<T>& parameter : folded.parameters())
    if (parameter.is_trained()) gradients.emplace_back(parameter.grad.begin(), parameter.grad.end());
  return gradients;
}

/// One branch of each kind. All scales are trained except the filtered branch's.
template <class T>
FoldedBlock<T> block_of_all_kinds(Random& random, const ConvShape& target) {
  FoldedBlock<T> block{target};
  for (std::size_t kind = 0; kind < branch_kind_names.size(); ++kind) add_random_branch(random, block, kind, kind != 1);
  return block;
}

/// A block that is large enough for parallel loops.
FoldedBlock<float> large_block(Random& random, WeightLayout layout) {
  ConvShape target = square(48, 96, 3);
  target.layout = layout;
  return block_of_all_kinds<float>(random, target);
}

constexpr std::array all_layouts{WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio};

}  // namespace

TEST_CASE("Gradients start at zero, and the first call writes them") {
  Random random(310);
  const FoldedBlock<double> block = block_of_all_kinds<double>(random, square(4, 6, 3));
  FoldedKernel<double> folded = block.folded();
  for (const std::vector<double>& gradient : gradients_of(folded))
    CHECK(std::ranges::count(gradient, 0.0) == std::ptrdiff_t(gradient.size()));
  const auto kernel_grad = random.numbers<double>(block.target.size());
  folded.add_gradients(kernel_grad);
  const auto expected = gradients_of(folded);

  FoldedKernel<double> other = block.folded();
  for (const FoldedParameter<double>& parameter : other.parameters()) std::ranges::fill(parameter.grad, not_a_number);
  other.add_gradients(kernel_grad);
  CHECK(gradients_of(other) == expected);
}

TEST_CASE("zero_grad() lets the next gradients overwrite everything, including NaN") {
  Random random(311);
  for (int trial = 0; trial < 20; ++trial) {
    FoldedBlock<double> block = random_folded_block<double>(random);
    FoldedKernel<double> folded = block.folded();
    const auto kernel_grad = random.numbers<double>(block.target.size());
    folded.add_gradients(kernel_grad);
    const auto expected = gradients_of(folded);
    folded.add_gradients(std::vector<double>(block.target.size(), not_a_number));
    folded.zero_grad();
    folded.add_gradients(kernel_grad);
    CHECK(gradients_of(folded) == expected);
  }
}

TEST_CASE("Gradients of two micro-batches add up to the gradients of their sum") {
  Random random(312);
  for (int trial = 0; trial < 40; ++trial) {
    FoldedBlock<double> block = random_folded_block<double>(random);
    FoldedKernel<double> folded = block.folded();
    const auto first = random.numbers<double>(block.target.size()), second = random.numbers<double>(first.size());
    std::vector<double> sum(first.size());
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] = first[k] + second[k];
    folded.add_gradients(sum);
    const auto expected = gradients_of(folded);
    folded.zero_grad();
    folded.add_gradients(first);
    folded.add_gradients(second);
    const auto added = gradients_of(folded);
    for (std::size_t i = 0; i < added.size(); ++i) CHECK(relative_error(added[i], expected[i]) < 1e-13);
  }
}

TEST_CASE("A buffer of the wrong size is refused, and nothing is written") {
  Random random(313);
  const FoldedBlock<double> block = block_of_all_kinds<double>(random, square(4, 6, 3));
  FoldedKernel<double> folded = block.folded();
  folded.add_gradients(random.numbers<double>(block.target.size()));
  folded.zero_grad();
  const auto before = gradients_of(folded);
  std::vector<double> short_kernel(215, 7.0);
  const std::string rest = "has 215 elements, target [" + describe(block.target) + "] has 216";
  CHECK_THROWS_WITH_AS(folded.fold(short_kernel), ("the kernel " + rest).c_str(), std::invalid_argument);
  CHECK_THROWS_WITH_AS(folded.add_gradients(short_kernel), ("the kernel's gradient " + rest).c_str(),
                       std::invalid_argument);
  CHECK(std::ranges::count(short_kernel, 7.0) == 215);
  CHECK(gradients_of(folded) == before);
}

TEST_CASE("A kernel cannot be folded into its own parameters") {
  const ConvShape shape;
  FoldedKernel<double> folded(CslaBlock<double>::plain(shape));
  const auto& weight = folded.parameters()[0];
  CHECK_THROWS_WITH_AS(folded.fold(weight.value), "the kernel and '0.weight' overlap in memory", std::invalid_argument);
  CHECK_THROWS_AS(folded.fold(weight.grad), std::invalid_argument);
}

TEST_CASE("A moved kernel keeps its spans and trains on") {
  static_assert(std::is_nothrow_move_constructible_v<FoldedKernel<float>>);
  static_assert(std::is_nothrow_move_assignable_v<FoldedKernel<float>>);
  static_assert(!std::is_copy_constructible_v<FoldedKernel<float>> && !std::is_copy_assignable_v<FoldedKernel<float>>);
  Random random(314);
  for (int trial = 0; trial < 20; ++trial) {
    const FoldedBlock<double> block = random_folded_block<double>(random);
    const auto kernel_grad = random.numbers<double>(block.target.size());
    FoldedKernel<double> stays = block.folded(), moves = block.folded();
    std::vector<std::span<double>> values, grads;
    moves.visit_parameters([&](const std::string&, std::span<double> value, std::span<double> grad, bool) {
      values.push_back(value);
      grads.push_back(grad);
    });
    FoldedKernel<double> constructed = std::move(moves);
    FoldedKernel<double> moved(square(1, 1, 3), {FoldedBranch<double>::conv({square(1, 1, 3), 1.0})});
    moved = std::move(constructed);
    std::size_t next = 0;
    stays.visit_parameters([&](const std::string&, std::span<double> value, std::span<double>, bool) {
      std::ranges::fill(value, 0.5);
      std::ranges::fill(values[next++], 0.5);
    });
    CHECK(kernel_of(moved) == kernel_of(stays));
    stays.add_gradients(kernel_grad);
    moved.add_gradients(kernel_grad);
    const auto expected = gradients_of(stays);
    REQUIRE(grads.size() == expected.size());
    for (std::size_t i = 0; i < grads.size(); ++i) CHECK(std::ranges::equal(grads[i], expected[i]));
  }
}

TEST_CASE("Kernels and gradients are the same, bit by bit, for any number of threads") {
  for (const WeightLayout layout : all_layouts) {
    Random random(315);
    const FoldedBlock<float> block = large_block(random, layout);
    const auto kernel_grad = random.numbers<float>(block.target.size());
    std::vector<float> kernel;
    std::vector<std::vector<float>> gradients;
    for_each_thread_count([&] {
      FoldedKernel<float> folded = block.folded();
      folded.add_gradients(kernel_grad);
      if (kernel.empty()) {  // with one thread
        kernel = kernel_of(folded);
        gradients = gradients_of(folded);
      }
      CHECK(kernel_of(folded) == kernel);
      CHECK(gradients_of(folded) == gradients);
    });
  }
}

#ifdef REPOPT_COUNTS_ALLOCATIONS
TEST_CASE("Nothing is allocated after construction") {
  for_each_thread_count([] {
    for (const WeightLayout layout : all_layouts) {
      Random random(316);
      FoldedKernel<float> folded = large_block(random, layout).folded();
      std::vector<float> kernel(folded.target().size());
      parallel_for(8, std::size_t(1) << 20, [](std::size_t) {});  // starts OpenMP's threads
      const long before = allocation_count;
      for (int step = 0; step < 3; ++step) {
        folded.fold(kernel);
        folded.zero_grad();
        folded.add_gradients(kernel);
        folded.add_gradients(kernel);
      }
      CHECK(allocation_count - before == 0);
    }
  });
}
#endif
