#include "repopt/core/conv_shape.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/naive_conv.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE("The default is a 3x3 convolution that keeps the size of the image") {
  constexpr ConvShape shape{.in_channels = 16, .out_channels = 32};
  static_assert(shape.size() == std::size_t(32) * 16 * 9);
  static_assert(shape.output_size(7, 9) == std::array<std::size_t, 2>{7, 9});
  CHECK_NOTHROW(shape.validate());
}

TEST_CASE("Fully connected layers and one weight per channel are 1x1 convolutions") {
  constexpr ConvShape linear = ConvShape::linear(7, 5);
  static_assert(linear.size() == 35 && linear.taps() == 1 && linear.groups == 1);
  static_assert(linear.output_size(1, 1) == std::array<std::size_t, 2>{1, 1});
  constexpr ConvShape depthwise = ConvShape::depthwise_1x1(6, {2, 2});
  static_assert(depthwise.size() == 6 && depthwise.in_per_group() == 1 && depthwise.groups == 6);
  static_assert(depthwise.output_size(5, 4) == std::array<std::size_t, 2>{3, 2});
}

TEST_CASE("output_size follows stride, padding and dilation, and refuses an image that is too small") {
  constexpr ConvShape shape{.kernel_size = {3, 5}, .padding = {0, 2}, .stride = {2, 1}, .dilation = {2, 1}};
  CHECK(shape.output_size(9, 8) == std::array<std::size_t, 2>{3, 8});
  CHECK_THROWS_WITH_AS((void)shape.output_size(4, 8), "the padded image has 4 pixels along axis 0, the kernel spans 5",
                       std::invalid_argument);
}

TEST_CASE("offset counts in the order of the layout") {
  Random random(10);
  for (int trial = 0; trial < 50; ++trial) {
    const ConvShape shape = random_target(random);
    std::vector<std::size_t> oihw_places;
    for_each_weight(shape, [&](const WeightIndex& weight) { oihw_places.push_back(shape.offset(weight)); });
    std::vector<std::size_t> expected(shape.size());
    for (std::size_t k = 0; k < expected.size(); ++k) expected[k] = k;
    CHECK(from_oihw(shape, to_oihw(shape, expected)) == expected);
    CHECK(oihw_places == to_oihw(shape, expected));
  }
}

TEST_CASE("copy_weight converts a kernel between any two layouts and back") {
  Random random(11);
  for (int trial = 0; trial < 50; ++trial) {
    const ConvShape from = random_target(random);
    ConvShape to = from;
    to.layout = random_layout(random);
    const std::vector<double> source = random.numbers<double>(from.size());
    std::vector<double> there(to.size()), back(from.size());
    copy_weight<double>(from, source, to, there);
    CHECK(to_oihw(to, there) == to_oihw(from, source));
    copy_weight<double>(to, there, from, back);
    CHECK(back == source);
  }
}

TEST_CASE("copy_weight refuses a wrong shape or size and leaves the destination unchanged") {
  const ConvShape shape{.in_channels = 2, .out_channels = 3};
  ConvShape other = shape;
  other.padding = {0, 0};
  const std::vector<float> source(shape.size(), 1);
  std::vector<float> destination(shape.size(), 7), small(5, 7);
  CHECK_THROWS_WITH_AS(copy_weight<float>(shape, source, other, destination),
                       ("a kernel of [" + describe(shape) + "] cannot be copied to a kernel of [" + describe(other) +
                        "]: more than their layouts differ")
                           .c_str(),
                       std::invalid_argument);
  CHECK_THROWS_AS(copy_weight<float>(shape, source, shape, small), std::invalid_argument);
  CHECK_THROWS_AS(copy_weight<float>(shape, small, shape, destination), std::invalid_argument);
  CHECK(std::ranges::count(destination, 7.0f) == std::ptrdiff_t(destination.size()));
  const ConvShape impossible{.groups = 0};
  CHECK_THROWS_AS(copy_weight<float>(impossible, source, impossible, destination), std::invalid_argument);
  constexpr std::size_t huge = std::size_t(1) << 32;  // huge * huge wraps to 0
  const ConvShape wraps{.in_channels = huge, .out_channels = huge, .kernel_size = {1, 1}, .padding = {0, 0}};
  CHECK_THROWS_AS(copy_weight<float>(wraps, {}, wraps, {}), std::invalid_argument);
}

TEST_CASE("copy_weight refuses to relay a kernel in place") {
  const ConvShape oihw{.in_channels = 2, .out_channels = 3};
  ConvShape hwio = oihw;
  hwio.layout = WeightLayout::hwio;
  std::vector<float> kernel(oihw.size(), 1);
  CHECK_THROWS_WITH_AS(copy_weight<float>(oihw, kernel, hwio, kernel), "the kernel and its copy overlap in memory",
                       std::invalid_argument);
}

TEST_CASE("validate refuses impossible shapes and describes them") {
  const auto refuses = [](const ConvShape& shape, const std::string& reason) {
    CHECK_THROWS_WITH_AS(shape.validate(), (reason + ": " + describe(shape)).c_str(), std::invalid_argument);
  };
  refuses({.in_channels = 0}, "channels and kernel_size must be positive");
  refuses({.out_channels = 0}, "channels and kernel_size must be positive");
  refuses({.kernel_size = {3, 0}}, "channels and kernel_size must be positive");
  refuses({.stride = {0, 1}}, "stride and dilation must be positive");
  refuses({.dilation = {1, 0}}, "stride and dilation must be positive");
  refuses({.groups = 0}, "groups must divide in_channels and out_channels");
  refuses({.in_channels = 4, .out_channels = 6, .groups = 4}, "groups must divide in_channels and out_channels");
  refuses({.in_channels = 6, .out_channels = 4, .groups = 3}, "groups must divide in_channels and out_channels");
  constexpr std::size_t huge = std::numeric_limits<std::size_t>::max() / 2;
  refuses({.in_channels = huge, .out_channels = huge}, "more weights than memory can hold");
}

TEST_CASE("describe names every member of a shape") {
  CHECK(describe({.in_channels = 16,
                  .out_channels = 32,
                  .kernel_size = {1, 3},
                  .padding = {0, 1},
                  .stride = {2, 1},
                  .dilation = {1, 2},
                  .groups = 4,
                  .layout = WeightLayout::hwio}) ==
        "conv 16->32, kernel 1x3, padding 0x1, stride 2x1, dilation 1x2, groups 4, hwio");
}
