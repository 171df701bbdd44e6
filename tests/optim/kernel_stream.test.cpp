#include "repopt/optim/kernel_stream.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/grad_mult.hpp"
#include "repopt/optim/chunks.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// GradMult, assembled from the stream's chunks.
template <class T>
std::vector<T> streamed_grad_mult(const CslaBlock<T>& block) {
  const KernelStream<T> stream(block);
  std::vector<T> result(block.target().size());
  for_each_chunk(result.size(), [&](std::size_t first, std::size_t count) {
    stream.with_grad_mult(first, count, [&](const auto m) {
      for (std::size_t k = 0; k < count; ++k) result[first + k] = m[k];
    });
  });
  return result;
}

}  // namespace

TEST_CASE("Chunks cover all elements once, and their sums add up") {
  for (const std::size_t size : {std::size_t(1), max_chunk - 1, max_chunk, max_chunk + 1, std::size_t(100'000)}) {
    std::vector<int> visits(size);
    for_each_chunk(
        size,
        [&](std::size_t first, std::size_t count) {
          for (std::size_t k = first; k < first + count; ++k) ++visits[k];
        },
        visits.data());
    CHECK(std::ranges::count(visits, 1) == std::ptrdiff_t(size));
    CHECK(sum_over_chunks(size, [](std::size_t, std::size_t count) { return double(count); }) == double(size));
  }
}

TEST_CASE("The streamed sum of any term equals the scattered sum, for random blocks") {
  Random random(32);
  for (int trial = 0; trial < 100; ++trial) {
    const CslaBlock<double> block = random_block<double>(random);
    const KernelStream<double> stream(block);
    INFO("target [", describe(block.target()), "]");
    std::vector<double> scattered(block.target().size()), streamed(scattered.size());
    block.sum(scattered, [](double s, std::size_t, std::size_t) { return std::abs(s); });
    for_each_chunk(scattered.size(), [&](std::size_t first, std::size_t count) {
      stream.sum_over_branches(first, std::span(streamed).subspan(first, count), [](double s) { return std::abs(s); });
    });
    CHECK(relative_error(streamed, scattered) < 1e-15);
  }
}

TEST_CASE_TEMPLATE("The streamed GradMult equals the dense one, for random blocks in every layout", T, double, float) {
  Random random(40);
  for (int trial = 0; trial < 300; ++trial) {
    const CslaBlock<T> block = random_block<T>(random);
    INFO("target [", describe(block.target()), "], branches ", block.branches().size());
    CHECK(streamed_grad_mult(block) == GradMult<T>(block).dense());
  }
}

TEST_CASE("The streamed GradMult equals the dense one if a row is longer than a chunk") {
  Random random(41);
  for (const WeightLayout layout : {WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio})
    for (const auto& [in, out, groups] :
         {std::array<std::size_t, 3>{300, 6, 1}, {6, 1300, 1}, {6, 1300, 2}, {1030, 4, 2}, {1100, 1100, 550}}) {
      ConvShape target = square(in, out, 3, 1, groups);
      target.layout = layout;
      std::vector<Branch<double>> branches;
      for (int i = 0; i < 3; ++i)
        branches.emplace_back(random_branch_shape(random, target), random_scale<double>(random, out));
      if (in == out) branches.push_back(Branch<double>::identity(in));
      const CslaBlock<double> block(target, branches);
      INFO("target [", describe(target), "]");
      CHECK(streamed_grad_mult(block) == GradMult<double>(block).dense());
    }
}

TEST_CASE("The streamed GradMult and sum are right if a kernel has more taps than a chunk has elements") {
  Random random(44);
  const ConvShape target = square(3, 4, 31);
  const CslaBlock<double> block(target, {Branch<double>(target, random_scale<double>(random, 4)),
                                         Branch<double>(square(3, 4, 5), random_scale<double>(random, 4))});
  const std::vector<double> whole = GradMult<double>(block).dense();
  CHECK(streamed_grad_mult(block) == whole);
  for (const std::size_t first : {std::size_t(0), std::size_t(100), std::size_t(1000)}) {
    std::vector<double> sums(whole.size() - first);
    KernelStream<double>(block).sum_over_branches(first, sums, [](double s) { return s * s; });
    CHECK(std::ranges::equal(sums, std::span(whole).subspan(first)));
  }
}

TEST_CASE("The streamed GradMult is right for spans of any length that begin anywhere") {
  Random random(42);
  for (const WeightLayout layout : {WeightLayout::oihw, WeightLayout::hwio}) {
    ConvShape target = square(64, 64, 3);
    target.layout = layout;
    const CslaBlock<double> block(
        target, {Branch<double>(target, random_scale<double>(random, 64)),
                 Branch<double>(square(64, 64, 1), random_scale<double>(random, 64)), Branch<double>::identity(64)});
    const KernelStream<double> stream(block);
    const std::vector<double> whole = GradMult<double>(block).dense();
    for (const std::size_t size : {std::size_t(1), std::size_t(17), max_chunk})
      for (std::size_t first = 0; first + size <= whole.size(); first += 61) {
        std::vector<double> multipliers(size);
        stream.with_grad_mult(first, size, [&](const auto m) {
          for (std::size_t k = 0; k < size; ++k) multipliers[k] = m[k];
        });
        INFO(size, " from ", first);
        CHECK(std::ranges::equal(multipliers, std::span(whole).subspan(first, size)));
      }
  }
}

TEST_CASE("multiply_gradient multiplies by the dense GradMult, in place too, and refuses other sizes") {
  Random random(43);
  const CslaBlock<float> block = random_block<float>(random);
  const std::vector<float> dense = GradMult<float>(block).dense(), grad = random.numbers<float>(dense.size());
  std::vector<float> expected(grad.size()), multiplied(grad.size()), in_place = grad;
  for (std::size_t k = 0; k < grad.size(); ++k) expected[k] = dense[k] * grad[k];
  multiply_gradient<float>(block, grad, multiplied);
  multiply_gradient<float>(block, in_place, in_place);
  CHECK(multiplied == expected);
  CHECK(in_place == expected);
  CHECK_THROWS_AS(multiply_gradient<float>(block, std::span(grad).first(1), multiplied), std::invalid_argument);
  std::vector<float> longer(grad.size() + 1);
  CHECK_THROWS_WITH_AS(
      multiply_gradient<float>(block, std::span(longer).first(grad.size()), std::span(longer).last(grad.size())),
      "grad and multiplied overlap in memory", std::invalid_argument);
  CHECK(multiplied == expected);
}
