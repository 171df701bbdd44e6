#include "repopt/nn/models/hyper_search.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

TEST_CASE("ones_scales are 1 for every scale of the network") {
  const VggConfig config = tiny_config();
  const Scales<float> scales = ones_scales<float>(config, Prior::repvgg);
  const auto lengths = scale_lengths(config);
  CHECK(scales.size() == 6 * 2 + 2);  // stage1.0 and stage2.1 have an identity
  REQUIRE(scales.size() == lengths.size());
  for (const auto& [name, values] : scales) CHECK(values == std::vector<float>(lengths.at(name), 1));
}

TEST_CASE("sqrt_scales are 1, sqrt(2), sqrt(2/2), sqrt(2/3), ... within a stage, and 1 for the identities") {
  const Scales<double> scales = sqrt_scales<double>(vgg_preset("B1"));
  const auto scale = [&](const char* name) {
    const std::vector<double>& values = scales.at(name);
    for (const double value : values) CHECK(value == values.front());
    return values.front();
  };
  CHECK(scale("stage0.scale_conv.weight") == 1);
  CHECK(scale("stage1.0.scale_conv.weight") == 1);
  CHECK(scale("stage1.1.scale_conv.weight") == std::sqrt(2.0));
  CHECK(scale("stage1.2.scale_1x1.weight") == 1);
  CHECK(scale("stage1.3.scale_1x1.weight") == std::sqrt(2.0 / 3));
  CHECK(scale("stage3.15.scale_conv.weight") == std::sqrt(2.0 / 15));
  CHECK(scale("stage3.15.scale_identity.weight") == 1);
  CHECK(scales.at("stage3.15.scale_conv.weight").size() == 512);
}

TEST_CASE("searched_scales are the trained scales, and fit a network with constant scales") {
  const VggConfig config = tiny_config();
  const Scales<double> start = sqrt_scales<double>(config);
  Vgg<double> model = hyper_search_vgg(config, 1, start);
  CHECK(searched_scales(model) == start);

  Random random(1);
  const Tensor<double> images = random_tensor<double>(random, {4, 8, 8, 3});
  const std::vector<int> labels{0, 1, 2, 3};
  RepSgd<double> optimizer;
  add_parameters(optimizer, model, {.lr = 0.1});
  Tensor<double> grad;
  cross_entropy<double>(model.forward(images, Phase::train), labels, 0, grad);
  model.backward(grad);
  optimizer.step();
  const Scales<double> found = searched_scales(model);
  for (const auto& [name, values] : found) CHECK(values != start.at(name));
  Vgg<double> constant = csla_vgg(config, 1, found);
  CHECK(searched_scales(constant) == found);

  Vgg<double> mixed(config, [&](const BlockSpec& spec) -> std::unique_ptr<Block<double>> {
    if (spec.name == "stage3.0") return plain_block<double>(spec);
    return csla_block(spec, start);
  });
  CHECK_THROWS_WITH_AS(searched_scales(mixed), "the model has no scale 'stage3.0.scale_1x1.weight'",
                       std::invalid_argument);
  Vgg<double> repvgg = rep_vgg<double>(config, 1);
  CHECK_THROWS_WITH_AS(searched_scales(repvgg), "the model has no scale 'stage0.scale_1x1.weight'",
                       std::invalid_argument);
}

TEST_CASE("with_identity_weight sets the identities only, and with_scale_factor multiplies all other scales") {
  const Scales<double> scales = mixed_sign_scales<double>(tiny_config(), 1);
  const Scales<double> reset = with_identity_weight(scales, 0.3), halved = with_scale_factor(scales, 0.5);
  REQUIRE(reset.size() == scales.size());
  REQUIRE(halved.size() == scales.size());
  std::size_t identities = 0;
  for (const auto& [name, values] : scales) {
    CAPTURE(name);
    const bool is_identity = name.ends_with("scale_identity.weight");
    identities += is_identity;
    std::vector<double> half = values;
    for (double& value : half) value *= 0.5;
    CHECK(reset.at(name) == (is_identity ? std::vector<double>(values.size(), 0.3) : values));
    CHECK(halved.at(name) == (is_identity ? values : half));
  }
  CHECK(identities == 2);
}

TEST_CASE("An identity's weight that is not finite and a factor that is not positive and finite are refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const Scales<double> scales = sqrt_scales<double>(tiny_config());
  for (const double weight : {nan, infinity})
    CHECK_THROWS_AS(with_identity_weight(scales, weight), std::invalid_argument);
  for (const double factor : {nan, infinity, 0.0, -1.0})
    CHECK_THROWS_AS(with_scale_factor(scales, factor), std::invalid_argument);
  CHECK_THROWS_WITH_AS(with_scale_factor(scales, -1), "the factor of the scales must be > 0 and finite, it is -1",
                       std::invalid_argument);
}

TEST_CASE("A factor of the scales multiplies the kernels of convolutions at the start, and not the identities") {
  const VggConfig config = tiny_config();
  const Scales<double> scales = mixed_sign_scales<double>(config, 1);
  const auto kernel = [&](const Scales<double>& of) {
    return csla_vgg(config, 1, of).blocks()[3]->equivalent_kernel().value();  // stage2.1, which has an identity
  };
  std::vector<double> expected = kernel(scales);
  const std::vector<double> without_identity = kernel(with_identity_weight(scales, 0));
  for (std::size_t k = 0; k < expected.size(); ++k) expected[k] -= 0.5 * without_identity[k];
  CHECK(relative_error(kernel(with_scale_factor(scales, 0.5)), expected) < 1e-12);
}

TEST_CASE("averaged_over_channels replaces each number by the mean of its scale") {
  const Scales<float> averaged = averaged_over_channels(Scales<float>{{"a", {1, 2, 6}}, {"b", {-1, 0.5f}}});
  CHECK(averaged == Scales<float>{{"a", {3, 3, 3}}, {"b", {-0.25f, -0.25f}}});
}

TEST_CASE("diagnose counts negative and nearly zero scales and measures the movement") {
  const Scales<double> start{{"a.scale_conv.weight", {1, 1}}, {"a.scale_identity.weight", {1, -0.5}}},
      scales{{"a.scale_conv.weight", {-1, 0.0005}}, {"a.scale_identity.weight", {1, -0.75}}};
  const ScaleDiagnostics found = diagnose(scales, start);
  CHECK(found.count == 4);
  CHECK(found.negative == 2);
  CHECK(found.near_zero == 1);
  CHECK(found.mean == doctest::Approx((-1 + 0.0005 + 1 - 0.75) / 4));
  CHECK(found.movement == doctest::Approx((2 + 0.9995) / 2));
  CHECK(found.identity_movement == doctest::Approx(0.25 / 1.5));
  CHECK(diagnose(Scales<double>{}, Scales<double>{}).count == 0);
}

TEST_CASE("diagnose refuses scales of another network") {
  const Scales<double> scales{{"a", {1, 1}}};
  CHECK_THROWS_WITH_AS(diagnose(scales, {}), "there are 1 scales, the start has 0", std::invalid_argument);
  CHECK_THROWS_WITH_AS(diagnose(scales, {{"b", {1, 1}}}), "the start has no 'a' of 2 elements", std::invalid_argument);
  CHECK_THROWS_WITH_AS(diagnose(scales, {{"a", {1}}}), "the start has no 'a' of 2 elements", std::invalid_argument);
}
