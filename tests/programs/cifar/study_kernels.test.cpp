#include "study/kernels.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "repopt/nn/models/vgg_config.hpp"

using namespace repopt_cifar::study;

TEST_CASE("GradMult is s^2 + t^2 at the centre tap, 1 more on its diagonal, and s^2 at the other taps") {
  const std::vector<repopt::nn::BlockSpec> specs = repopt::nn::vgg_preset("cifar-deep").block_specs();
  const repopt::nn::BlockSpec& spec = specs[1];
  REQUIRE(spec.has_identity());
  std::vector<float> s(16), t(16);
  for (std::size_t c = 0; c < 16; ++c) {
    s[c] = 0.25f * float(c);
    t[c] = 2 - 0.5f * float(c);
  }
  const GradMultTaps taps = grad_mult_taps(spec, {{"stage1.0.scale_conv.weight", s}, {"stage1.0.scale_1x1.weight", t}});
  REQUIRE(taps.centre.size() == 16 * 16);
  for (std::size_t out = 0; out < 16; ++out)
    for (std::size_t in = 0; in < 16; ++in) {
      CHECK(taps.corner[out * 16 + in] == s[out] * s[out]);
      CHECK(taps.centre[out * 16 + in] == s[out] * s[out] + t[out] * t[out] + (out == in ? 1 : 0));
    }
}

TEST_CASE("A standard deviation is measured from the mean") {
  CHECK(standard_deviation({1, 1, 1}) == 0);
  CHECK(standard_deviation({-1, 3}) == doctest::Approx(2));
}
