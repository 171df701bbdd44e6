#include "repopt/nn/layers/init.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "support/block_kinds.hpp"
#include "support/naive_conv.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// An initialized kernel of `shape`, in OIHW.
std::vector<double> initialized(ConvShape shape, WeightLayout layout, std::uint64_t seed, std::string_view name) {
  shape.layout = layout;
  Parameter<double> parameter = Parameter<double>::kernel(shape);
  init_uniform(parameter, shape.taps() * shape.in_per_group(), seed, name);
  return to_oihw(shape, parameter.value);
}

}  // namespace

TEST_CASE("A kernel starts with the same numbers in every layout and for the same seed and name") {
  const ConvShape shape = square(6, 4, 3, 1, 2);
  const std::vector<double> oihw = initialized(shape, WeightLayout::oihw, 5, "conv.weight");
  CHECK(initialized(shape, WeightLayout::hwio, 5, "conv.weight") == oihw);
  CHECK(initialized(shape, WeightLayout::ohwi, 5, "conv.weight") == oihw);
  CHECK(initialized(shape, WeightLayout::oihw, 6, "conv.weight") != oihw);
  CHECK(initialized(shape, WeightLayout::oihw, 5, "other.weight") != oihw);
}

TEST_CASE("A kernel starts uniform in +-1 / sqrt(fan_in)") {
  const std::vector<double> kernel = initialized(square(40, 50, 3), WeightLayout::hwio, 1, "conv.weight");
  const double bound = 1 / std::sqrt(40 * 9.0), count = double(kernel.size());
  double mean = 0, square_mean = 0;
  for (const double w : kernel) {
    mean += w / count;
    square_mean += w * w / count;
  }
  CHECK(std::ranges::max(kernel) < bound);
  CHECK(std::ranges::max(kernel) > 0.99 * bound);
  CHECK(std::ranges::min(kernel) >= -bound);
  CHECK(std::abs(mean) < 4 * bound / std::sqrt(3 * count));
  CHECK(square_mean == doctest::Approx(bound * bound / 3).epsilon(0.03));
}
