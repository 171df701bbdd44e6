#include "repopt/core/csla_block.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <limits>
#include <list>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "support/block_kinds.hpp"
#include "support/csla_reference.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE("A branch takes one scale per channel or one for all, and an identity scales by 1") {
  const ConvShape shape = square(3, 2, 3);
  CHECK(Branch<float>(shape, 0.5f).scale == std::vector<float>{0.5f, 0.5f});
  CHECK(Branch<float>(shape, {1, 2}).scale == std::vector<float>{1, 2});
  const auto identity = Branch<double>::identity(3);
  CHECK(identity.shape == ConvShape::depthwise_1x1(3));
  CHECK(identity.scale == std::vector<double>{1, 1, 1});
  CHECK(identity.is_identity);
  CHECK_FALSE(Branch<double>(ConvShape::depthwise_1x1(3), 1.0).is_identity);
}

TEST_CASE("Scales may be numbers and ranges of any floating-point type, but not empty") {
  const ConvShape shape = square(3, 2, 3);
  const std::vector<float> expected{0.5f, -2};
  const std::vector<double> doubles{0.5, -2};
  const std::array<long double, 2> array{0.5, -2};
  const std::list<float> list{0.5f, -2};
  CHECK(Branch<float>(shape, doubles).scale == expected);
  CHECK(Branch<float>(shape, array).scale == expected);
  CHECK(Branch<float>(shape, list).scale == expected);
  CHECK(Branch<float>(shape, std::span<const double>(doubles)).scale == expected);
  CHECK(Branch<float>(shape, 0.25).scale == std::vector<float>{0.25f, 0.25f});
  CHECK(Branch<float>(shape, 2).scale == std::vector<float>{2, 2});
  CHECK_THROWS_WITH_AS(CslaBlock<float>(shape, {{shape, std::vector<double>()}}),
                       ("scale has 0 elements, out_channels is 2; branch [" + describe(shape) + "]").c_str(),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(CslaBlock<float>(shape, {{shape, 1e300}}),
                       ("scale holds inf, it must be finite; branch [" + describe(shape) + "]").c_str(),
                       std::invalid_argument);
}

TEST_CASE("An impossible CSLA block is refused, with both shapes and the reason") {
  const ConvShape conv3x3 = square(4, 4, 3), strided3x3 = strided(conv3x3, {2, 2});
  const auto refuses = [](const ConvShape& target, const std::vector<Branch<double>>& branches,
                          const std::string& message) {
    CHECK_THROWS_WITH_AS(CslaBlock<double>(target, branches), message.c_str(), std::invalid_argument);
  };
  refuses(conv3x3, {}, "a CSLA block needs a branch; target: " + describe(conv3x3));
  refuses(conv3x3, {{conv3x3, 1.0}, {strided3x3, 1.0}},
          "branch [" + describe(strided3x3) + "] does not embed in target [" + describe(conv3x3) +
              "]: their strides differ");
  refuses(conv3x3, {{conv3x3, {1, 2, 3}}},
          "scale has 3 elements, out_channels is 4; branch [" + describe(conv3x3) + "]");
  refuses(conv3x3, {{conv3x3, std::numeric_limits<double>::quiet_NaN()}},
          "scale holds nan, it must be finite; branch [" + describe(conv3x3) + "]");
  refuses(conv3x3, {{conv3x3, -std::numeric_limits<double>::infinity()}},
          "scale holds -inf, it must be finite; branch [" + describe(conv3x3) + "]");
  ConvShape impossible = conv3x3;
  impossible.groups = 3;
  const std::string reason = "groups must divide in_channels and out_channels: " + describe(impossible);
  refuses(impossible, {{conv3x3, 1.0}}, reason);
  refuses(conv3x3, {{impossible, 1.0}}, reason);
}

TEST_CASE("A block keeps its target and branches, and the plain block has the kernel as its one branch") {
  const ConvShape conv3x3 = square(4, 4, 3);
  const std::vector<Branch<double>> branches{{conv3x3, 0.5}, Branch<double>::identity(4)};
  const CslaBlock<double> block(conv3x3, branches);
  CHECK(block.target() == conv3x3);
  CHECK(block.branches() == branches);
  const auto plain = CslaBlock<double>::plain(conv3x3);
  CHECK(plain.branches() == std::vector<Branch<double>>{{conv3x3, 1.0}});
}

TEST_CASE_TEMPLATE("The equivalent kernel is the sum of scaled kernels, for random blocks", T, double, float) {
  Random random(30);
  for (int trial = 0; trial < 100; ++trial) {
    const CslaBlock<T> block = random_block<T>(random);
    INFO("target [", describe(block.target()), "]");
    const auto kernels = random_kernels(random, block);
    std::vector<TorchParam<T>> kernels_oihw;
    for (std::size_t i = 0; i < kernels.size(); ++i)
      kernels_oihw.push_back({to_oihw(block.branches()[i].shape, kernels[i])});
    std::vector<T> weight(block.target().size(), T(99));
    block.equivalent_kernel(spans(kernels), weight);
    CHECK(relative_error(to_oihw(block.target(), weight),
                         kernel_by_coordinates(block.target(), block.branches(), kernels_oihw)) <
          10 * std::numeric_limits<T>::epsilon());
  }
}

TEST_CASE("equivalent_kernel takes a braced list and refuses wrong numbers of kernels and weights") {
  const ConvShape conv3x3 = square(2, 2, 3);
  const CslaBlock<float> block(conv3x3, {{conv3x3, 2.0f}, Branch<float>::identity(2)});
  const std::vector<float> w3x3(conv3x3.size(), 1), w_identity{10, 20};
  std::vector<float> weight(conv3x3.size());
  block.equivalent_kernel({w3x3, w_identity}, weight);
  CHECK(weight[4] == 12);
  CHECK(weight[18 + 9 + 4] == 22);
  CHECK(weight[9 + 4] == 2);

  const std::vector<float> before = weight;
  CHECK_THROWS_WITH_AS(block.equivalent_kernel({w3x3}, weight), "the block has 2 branches, 1 kernels were given",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(block.equivalent_kernel({w_identity, w3x3}, weight),
                       ("kernel 0 has 2 weights, branch [" + describe(conv3x3) + "] has 36").c_str(),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(block.equivalent_kernel({w3x3, w_identity}, std::span(weight).first(35)),
                       ("weight has 35 elements, target [" + describe(conv3x3) + "] has 36").c_str(),
                       std::invalid_argument);
  CHECK(weight == before);
}

TEST_CASE("The equivalent kernel cannot be written over a branch's") {
  const ConvShape shape;
  const CslaBlock<double> block(shape, {{shape, 0.5}, Branch<double>::identity(1)});
  std::vector<double> weight(9, 1.0);
  const std::vector<double> one{1}, before = weight;
  CHECK_THROWS_WITH_AS(block.equivalent_kernel({weight, one}, weight), "weight and kernel 0 overlap in memory",
                       std::invalid_argument);
  CHECK(weight == before);
}

TEST_CASE("Paddings and dilations that overflow std::size_t are refused") {
  constexpr std::size_t huge = std::size_t(1) << 63;
  const ConvShape target;
  CHECK_THROWS_AS(CslaBlock<double>(target, {{ConvShape{.kernel_size = {1, 1}, .padding = {huge, huge}}, 1.0}}),
                  std::invalid_argument);
  CHECK_THROWS_AS(CslaBlock<double>(target, {{ConvShape{.dilation = {huge + 1, 1}}, 1.0}}), std::invalid_argument);
}

TEST_CASE("Scales whose squares add up to infinity are refused") {
  const ConvShape shape;
  CHECK_NOTHROW(CslaBlock<float>(shape, {{shape, 1e19f}}));
  CHECK_THROWS_WITH_AS(CslaBlock<float>(shape, {{shape, 1.5e19f}, {shape, 1.5e19f}}),
                       "the squares of the scales of channel 0 add up to inf, which must be finite",
                       std::invalid_argument);
}

TEST_CASE("A temporary block gives its branches away") {
  const ConvShape shape;
  const auto make = [&] { return CslaBlock<double>(shape, {{shape, 0.5}, Branch<double>::identity(1)}); };
  std::size_t branches = 0;
  for (const Branch<double>& branch : make().branches()) branches += branch.scale.size();
  CHECK(branches == 2);
  static_assert(!std::is_reference_v<decltype(make().branches())> && !std::is_reference_v<decltype(make().target())>);
}

TEST_CASE("sum refuses a buffer of another size") {
  const ConvShape shape;
  std::vector<double> small(8);
  CHECK_THROWS_AS(CslaBlock<double>::plain(shape).sum(small, [](double s, auto, auto) { return s; }),
                  std::invalid_argument);
}
