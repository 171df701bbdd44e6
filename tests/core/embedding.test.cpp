#include "repopt/core/embedding.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "support/block_kinds.hpp"
#include "support/naive_conv.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// The places of the weights of a 1x1 branch in a 3x3 target, computed at compile time.
constexpr std::array<std::size_t, 4> places_of_1x1() {
  constexpr ConvShape target{.in_channels = 2, .out_channels = 2};
  std::array<std::size_t, 4> places{};
  embed({.in_channels = 2, .out_channels = 2, .kernel_size = {1, 1}, .padding = {0, 0}}, target,
        [&](std::size_t, std::size_t place, std::size_t index) { places[index] = place; });
  return places;
}

}  // namespace

TEST_CASE("embed works at compile time: a 1x1 lies on the centres of a 3x3") {
  static_assert(places_of_1x1() == std::array<std::size_t, 4>{4, 13, 22, 31});
  static_assert(embeds(ConvShape::depthwise_1x1(4), square(4, 4, 3)));
  static_assert(!embeds(square(4, 4, 3), square(4, 4, 3, 1, 2)));
}

TEST_CASE("An identity lies on the diagonal of the centre tap, in every layout") {
  ConvShape target = square(3, 3, 3);
  const auto places = [&](WeightLayout layout) {
    target.layout = layout;
    std::vector<std::size_t> result(3);
    embed(ConvShape::depthwise_1x1(3), target,
          [&](std::size_t, std::size_t place, std::size_t index) { result[index] = place; });
    return result;
  };
  CHECK(places(WeightLayout::oihw) == std::vector<std::size_t>{4, 27 + 9 + 4, 54 + 18 + 4});
  CHECK(places(WeightLayout::ohwi) == std::vector<std::size_t>{12, 27 + 12 + 1, 54 + 12 + 2});
  CHECK(places(WeightLayout::hwio) == std::vector<std::size_t>{36, 36 + 3 + 1, 36 + 6 + 2});
}

TEST_CASE("Asymmetric and dilated branches lie on the target's taps that read the same pixels") {
  const auto taps = [](const ConvShape& branch, const ConvShape& target) {
    std::vector<std::size_t> result;
    embed(branch, target, [&](std::size_t, std::size_t place, std::size_t) { result.push_back(place); });
    return result;
  };
  const ConvShape conv3x3 = square(1, 1, 3), conv5x5 = square(1, 1, 5);
  CHECK(taps(with_kernel(conv3x3, {1, 3}), conv3x3) == std::vector<std::size_t>{3, 4, 5});
  CHECK(taps(with_kernel(conv3x3, {3, 1}), conv3x3) == std::vector<std::size_t>{1, 4, 7});
  CHECK(taps(conv3x3, conv5x5) == std::vector<std::size_t>{6, 7, 8, 11, 12, 13, 16, 17, 18});
  CHECK(taps(square(1, 1, 3, 2), conv5x5) == std::vector<std::size_t>{0, 2, 4, 10, 12, 14, 20, 22, 24});
  CHECK(taps(square(1, 1, 3, 2), square(1, 1, 3, 2)) == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("embed is injective and visits each weight once, for random shapes") {
  Random random(20);
  for (int trial = 0; trial < 200; ++trial) {
    const ConvShape target = random_target(random), branch = random_branch_shape(random, target);
    INFO("branch [", describe(branch), "], target [", describe(target), "]");
    CHECK(embedding_obstacle(branch, target) == "");
    std::set<std::size_t> places, indices;
    embed(branch, target, [&](std::size_t out, std::size_t place, std::size_t index) {
      REQUIRE(out < target.out_channels);
      places.insert(place);
      indices.insert(index);
    });
    CHECK(places.size() == branch.size());
    CHECK(*places.rbegin() < target.size());
    CHECK(indices.size() == branch.size());
    CHECK(*indices.rbegin() + 1 == branch.size());
  }
}

TEST_CASE("The embedded kernel convolves as the branch does, for random shapes") {
  Random random(21);
  for (int trial = 0; trial < 100; ++trial) {
    const ConvShape target = random_target(random), branch = random_branch_shape(random, target);
    INFO("branch [", describe(branch), "], target [", describe(target), "]");
    const std::vector<double> kernel = random.numbers<double>(branch.size());
    std::vector<double> embedded(target.size());
    embed(branch, target, [&](std::size_t, std::size_t place, std::size_t index) { embedded[place] = kernel[index]; });
    Images<double> x{2, target.in_channels, 9, 8};
    x.data = random.numbers<double>(x.data.size());
    const Images<double> y = conv(branch, x, to_oihw(branch, kernel));
    const Images<double> embedded_y = conv(target, x, to_oihw(target, embedded));
    CHECK(y.height == embedded_y.height);
    CHECK(y.width == embedded_y.width);
    CHECK(relative_error(embedded_y.data, y.data) < 1e-14);
  }
}

TEST_CASE("A branch that does not embed is refused for the right reason") {
  const ConvShape conv3x3 = square(4, 4, 3), conv5x5 = square(4, 4, 5);
  const auto obstacle = [](const ConvShape& branch, const ConvShape& target) {
    CHECK(!embeds(branch, target));
    return embedding_obstacle(branch, target);
  };
  constexpr std::string_view channels = "their channels differ";
  CHECK(obstacle(square(4, 5, 3), conv3x3) == channels);
  CHECK(obstacle(square(3, 4, 3), conv3x3) == channels);
  constexpr std::string_view groups =
      "the target's groups do not divide the branch's, so the target lacks some of its connections";
  CHECK(obstacle(conv3x3, square(4, 4, 3, 1, 4)) == groups);
  CHECK(obstacle(square(4, 4, 1, 1, 2), square(4, 4, 3, 1, 4)) == groups);
  CHECK(obstacle(square(6, 6, 1, 1, 3), square(6, 6, 3, 1, 2)) == groups);
  CHECK(obstacle(square(4, 4, 1), strided(conv3x3, {2, 2})) == "their strides differ");
  CHECK(obstacle(strided(conv3x3, {1, 2}), conv3x3) == "their strides differ");
  constexpr std::string_view size =
      "2 * padding - dilation * (kernel_size - 1) differs, so their outputs differ in size";
  ConvShape unpadded = conv3x3;
  unpadded.padding = {1, 0};
  CHECK(obstacle(unpadded, conv3x3) == size);
  CHECK(obstacle(square(4, 4, 2), conv3x3) == size);
  CHECK(obstacle(conv5x5, conv3x3) == "the branch's kernel is larger than the target's");
  CHECK(obstacle(square(4, 4, 3, 2), conv3x3) == "the branch's kernel is larger than the target's");
  constexpr std::string_view between = "a tap of the branch falls between the target's taps";
  CHECK(obstacle(conv3x3, square(4, 4, 3, 2)) == between);
  CHECK(obstacle(square(4, 4, 3, 3), square(4, 4, 5, 2)) == between);
  ConvShape even_target = square(4, 4, 4, 1), even_branch = square(4, 4, 2, 1);
  even_target.padding = {3, 3};
  even_branch.padding = {2, 2};
  CHECK(embeds(even_branch, even_target));
  even_target.dilation = even_branch.dilation = {2, 2};
  even_target.padding = {4, 4};
  CHECK(embeds(even_branch, even_target));
  even_branch = square(4, 4, 3, 2);  // its taps lie two and a half taps from the edge
  even_branch.padding = {3, 3};
  CHECK(obstacle(even_branch, even_target) == between);
}
