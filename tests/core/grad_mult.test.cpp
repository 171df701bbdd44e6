#include "repopt/core/grad_mult.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// GradMult is a view: one of a temporary block would dangle.
static_assert(std::is_constructible_v<GradMult<float>, const CslaBlock<float>&>);
static_assert(!std::is_constructible_v<GradMult<float>, CslaBlock<float>>);

template <class T>
std::vector<T> scattered(const CslaBlock<T>& block) {
  std::vector<T> grad_mult(block.target().size());
  block.sum(grad_mult, [](T s, std::size_t, std::size_t) { return s * s; });
  return grad_mult;
}

}  // namespace

TEST_CASE_TEMPLATE("Generated, dense and scattered GradMult are one, for random blocks in every layout", T, double,
                   float) {
  Random random(40);
  for (int trial = 0; trial < 300; ++trial) {
    const CslaBlock<T> block = random_block<T>(random);
    INFO("target [", describe(block.target()), "], branches ", block.branches().size());
    CHECK(GradMult<T>(block).dense() == scattered(block));
  }
}

TEST_CASE("So they are where a row is longer than a chunk") {
  Random random(41);
  const auto wide = [](std::size_t in, std::size_t out, std::size_t groups) { return square(in, out, 3, 1, groups); };
  for (const WeightLayout layout : {WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio})
    for (const auto& [in, out, groups] :
         {std::array<std::size_t, 3>{300, 6, 1}, {6, 1300, 1}, {6, 1300, 2}, {1030, 4, 2}, {1100, 1100, 550}}) {
      ConvShape target = wide(in, out, groups);
      target.layout = layout;
      std::vector<Branch<double>> branches;
      for (int i = 0; i < 3; ++i)
        branches.emplace_back(random_branch_shape(random, target), random_scale<double>(random, out));
      if (in == out) branches.push_back(Branch<double>::identity(in));
      const CslaBlock<double> block(target, branches);
      INFO("target [", describe(target), "]");
      CHECK(GradMult<double>(block).dense() == scattered(block));
    }
}

TEST_CASE("Of spans of any length, anywhere") {
  Random random(42);
  ConvShape target = square(64, 64, 3, 1, 1);
  target.layout = WeightLayout::hwio;
  const CslaBlock<double> block(
      target, {Branch<double>(target, random_scale<double>(random, 64)), Branch<double>::identity(64)});
  const std::vector<double> whole = scattered(block);
  for (const std::size_t size : {std::size_t(1), CslaBlock<double>::max_chunk, CslaBlock<double>::max_chunk + 1,
                                 std::size_t(64 * 64), whole.size()})
    for (std::size_t first = 0; first + size <= whole.size(); first += 61) {
      std::vector<double> memory(size);
      const double* const multipliers = GradMult<double>(block).of_chunk(first, memory);
      INFO(size, " from ", first);
      CHECK(std::equal(multipliers, multipliers + size, whole.begin() + std::ptrdiff_t(first)));
    }
}
