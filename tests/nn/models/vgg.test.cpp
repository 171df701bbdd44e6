#include "repopt/nn/models/vgg.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// The number of trained numbers by arithmetic: the largest presets need not be built for it.
std::size_t expected_count(const VggConfig& config, Mode mode) {
  std::size_t count = config.classes * (config.widths[3] + 1);
  for (const BlockSpec& spec : config.block_specs()) {
    const std::size_t out = spec.shape.out_channels;
    count += spec.shape.size() + 2 * out;
    if (mode == Mode::repvgg) count += spec.shape_1x1().size() + 2 * out + (spec.has_identity() ? 2 * out : 0);
  }
  return count;
}

/// In millions, cut off after one decimal, as the articles print it (131,056,296 is 131.0).
double millions(std::size_t count) { return double(count / 100000) / 10; }

std::set<std::string> parameter_names(Vgg<float>& model) {
  std::set<std::string> names;
  model.visit_parameters([&](const std::string& name, Parameter<float>&) { names.insert(name); });
  return names;
}

}  // namespace

TEST_CASE("The presets have the articles' numbers of parameters") {
  const auto count = [](const char* name, Mode mode) { return expected_count(vgg_preset(name), mode); };
  CHECK(millions(count("A0", Mode::target)) == 8.3);
  CHECK(millions(count("B1", Mode::target)) == 51.8);
  CHECK(millions(count("B2", Mode::target)) == 80.3);
  CHECK(millions(count("L1", Mode::target)) == 76.0);
  CHECK(millions(count("L2", Mode::target)) == 118.1);
  CHECK(millions(count("B1", Mode::repvgg)) == 57.4);
  CHECK(millions(count("B2", Mode::repvgg)) == 89.0);
  CHECK(millions(count("L1", Mode::repvgg)) == 84.3);
  CHECK(millions(count("L2", Mode::repvgg)) == 131.0);
}

TEST_CASE("A built network has as many parameters as its dimensions say") {
  for (const char* name : {"cifar-small", "cifar-deep", "A0"})
    for (const Mode mode : {Mode::target, Mode::repvgg}) {
      CAPTURE(name);
      const VggConfig config = vgg_preset(name);
      CHECK(Vgg<float>(config, mode, 1).parameter_count() == expected_count(config, mode));
    }
}

TEST_CASE("Blocks are named by stage, and have an identity where input and output have one shape") {
  const VggConfig config{
      .name = "six", .stem = 8, .widths = {8, 8, 16, 16}, .blocks = {1, 2, 1, 1}, .strides = {1, 1, 2, 1, 2}};
  std::string blocks;
  for (const BlockSpec& spec : config.block_specs()) blocks += spec.name + (spec.has_identity() ? "+ " : " ");
  CHECK(blocks == "stage0 stage1.0+ stage2.0 stage2.1+ stage3.0 stage4.0 ");
  const std::vector<BlockSpec> b1 = vgg_preset("B1").block_specs();
  CHECK(b1.size() == 1 + 4 + 6 + 16 + 1);
  CHECK(b1[1].shape.stride[0] == 2);
  CHECK(b1[26].name == "stage3.15");
  CHECK(b1[26].index_in_stage == 15);
  CHECK(b1[26].has_identity());
  CHECK(b1[27].shape.in_channels == 512);
  CHECK(b1[27].shape.out_channels == 2048);
}

TEST_CASE("Parameters carry the published names in every mode") {
  const VggConfig config = tiny_config();
  const auto names = [&](Mode mode) {
    const bool scaled = mode == Mode::csla || mode == Mode::hyper_search;
    Vgg<float> model(config, mode, 1, scaled ? mixed_sign_scales<float>(config, 2) : Scales<float>{});
    return parameter_names(model);
  };
  const std::set<std::string> target = names(Mode::target), csla = names(Mode::csla), repvgg = names(Mode::repvgg);
  for (const char* name : {"stage0.conv.weight", "stage2.1.bn.running_var", "linear.bias"})
    CHECK(target.contains(name));
  for (const char* name : {"stage0.scale_conv.weight", "stage1.0.scale_1x1.weight", "stage2.1.scale_identity.weight",
                           "stage2.1.conv_1x1.weight", "stage2.1.conv.weight", "stage2.1.bn.bias"})
    CHECK(csla.contains(name));
  CHECK(names(Mode::hyper_search) == csla);
  CHECK(repvgg.contains("stage2.1.bn_identity.weight"));
  CHECK(!csla.contains("stage2.0.scale_identity.weight"));
}

TEST_CASE("The same seed makes the same network, in csla and hyper_search alike") {
  const VggConfig config = tiny_config();
  const auto scales = mixed_sign_scales<double>(config, 2);
  Random random(3);
  const Tensor<double> x = random_tensor<double>(random, {2, 8, 8, 3});
  const auto logits = [&](Mode mode, std::uint64_t seed) {
    Vgg<double> model(config, mode, seed, scales);
    const auto values = model.forward(x, Phase::train).values();
    return std::vector<double>(values.begin(), values.end());
  };
  CHECK(logits(Mode::csla, 1) == logits(Mode::csla, 1));
  CHECK(logits(Mode::csla, 1) == logits(Mode::hyper_search, 1));
  CHECK(logits(Mode::csla, 1) != logits(Mode::csla, 2));
}

TEST_CASE_TEMPLATE("A network of any mode is deployed as plain convolutions with the same outputs", T, float, double) {
  const double tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;
  const VggConfig config = tiny_config();
  Random random(4);
  const Tensor<T> x = random_tensor<T>(random, {3, 8, 8, 3});
  for (const Mode mode : {Mode::target, Mode::csla, Mode::hyper_search, Mode::repvgg, Mode::deploy}) {
    CAPTURE(to_string(mode));
    const bool scaled = mode == Mode::csla || mode == Mode::hyper_search;
    Vgg<T> model(config, mode, 1, scaled ? mixed_sign_scales<T>(config, 2) : Scales<T>{});
    model.visit_parameters([&](const std::string& name, Parameter<T>& parameter) {
      if (name.find("bn") != name.npos || name.ends_with(".bias"))
        fill_random<T>(random, parameter.value, name.ends_with("running_var") ? 0.2 : -1, 1);
    });
    Vgg<T> plain = deployed(model);
    CHECK(plain.mode() == Mode::deploy);
    CHECK(relative_error(plain.forward(x, Phase::eval).values(), model.forward(x, Phase::eval).values()) < tolerance);
    std::string wrong;
    plain.visit_parameters([&](const std::string& name, Parameter<T>&) {
      if (!name.ends_with("conv.weight") && !name.ends_with("conv.bias") && !name.starts_with("linear."))
        wrong += name + " ";
    });
    CHECK(wrong == "");
  }
}

TEST_CASE("A network whose batch norm is no number is not deployed") {
  Vgg<float> model(tiny_config(), Mode::target, 1);
  model.visit_parameters([](const std::string& name, Parameter<float>& parameter) {
    if (name == "stage2.1.bn.weight") parameter.value[3] = std::numeric_limits<float>::quiet_NaN();
  });
  CHECK_THROWS_AS(deployed(model), std::invalid_argument);
}

TEST_CASE("What is no network is refused, with the name and both values") {
  CHECK_THROWS_WITH_AS(vgg_preset("B7"),
                       "there is no model 'B7'; the models are cifar-small, cifar-vgg, cifar-deep, A0, B1, B2, L1, L2",
                       std::invalid_argument);
  const VggConfig config = tiny_config();
  const auto build = [&](Mode mode, const Scales<float>& scales) { Vgg<float>(config, mode, 1, scales); };
  Scales<float> scales = mixed_sign_scales<float>(config, 1);
  CHECK_THROWS_WITH_AS(build(Mode::target, scales), "mode target takes no scales", std::invalid_argument);
  CHECK_THROWS_WITH_AS(build(Mode::repvgg, scales), "mode repvgg takes no scales", std::invalid_argument);
  CHECK_THROWS_WITH_AS(build(Mode::csla, {}), "the scales lack 'stage0.scale_conv.weight'", std::invalid_argument);
  scales.at("stage2.1.scale_identity.weight").push_back(1);
  CHECK_THROWS_WITH_AS(build(Mode::csla, scales), "'stage2.1.scale_identity.weight' has 6 elements, out_channels is 5",
                       std::invalid_argument);
  scales.erase("stage2.1.scale_identity.weight");
  CHECK_THROWS_WITH_AS(build(Mode::hyper_search, scales), "the scales lack 'stage2.1.scale_identity.weight'",
                       std::invalid_argument);
  VggConfig broken = config;
  broken.blocks[2] = 0;
  CHECK_THROWS_WITH_AS(broken.block_specs(), "stage 3 of model 'tiny' has no block", std::invalid_argument);
  broken = config;
  broken.classes = 0;
  CHECK_THROWS_WITH_AS(broken.block_specs(), "model 'tiny' has no class", std::invalid_argument);
}
