#include "repopt/nn/models/vgg.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/init.hpp"
#include "repopt/nn/layers/relu.hpp"
#include "repopt/nn/layers/scale.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "support/gradient_check.hpp"
#include "support/own_block.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// The number of trained numbers, computed from the config, so that the largest presets need not be built.
std::size_t expected_count(const VggConfig& config, Mode mode) {
  std::size_t count = config.classes * (config.widths[3] + 1);
  for (const BlockSpec& spec : config.block_specs()) {
    const std::size_t out = spec.shape.out_channels;
    count += spec.shape.size() + 2 * out;
    if (mode == Mode::repvgg) count += spec.shape_1x1().size() + 2 * out + (spec.has_identity() ? 2 * out : 0);
    if (mode == Mode::qarepvgg) count += spec.shape_1x1().size() + 2 * out;
  }
  return count;
}

/// The number in millions, cut off after one decimal as the articles print it: 131,056,296 is 131.0.
double millions(std::size_t count) { return double(count / 100000) / 10; }

std::set<std::string> parameter_names(Vgg<double>& model) {
  std::set<std::string> names;
  model.visit_parameters([&](const std::string& name, Parameter<double>&) { names.insert(name); });
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
    for (const Mode mode : {Mode::target, Mode::repvgg, Mode::qarepvgg}) {
      CAPTURE(name);
      const VggConfig config = vgg_preset(name);
      CHECK(build_vgg<float>(config, mode, 1).parameter_count() == expected_count(config, mode));
    }
}

TEST_CASE("Blocks are named by stage, and have an identity if input and output have the same shape") {
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

TEST_CASE("A network consists of the blocks that a builder makes, one for each place, in order") {
  VggConfig config = tiny_config();
  config.bn_eps = 0.25;
  config.bn_momentum = 0.5;
  config.algorithm = ConvAlgorithm::plain;
  std::string places;
  Vgg<double> model(config, [&](const BlockSpec& spec) {
    places += concat(spec.index, " ", spec.name, spec.requires_input_grad() ? " " : "* ");
    CHECK(spec.algorithm == ConvAlgorithm::plain);
    return std::make_unique<OwnBlock<double>>(spec);
  });
  CHECK(places == "0 stage0* 1 stage1.0 2 stage2.0 3 stage2.1 4 stage3.0 5 stage4.0 ");
  std::size_t batch_norms = 0;
  for (const auto& block : model.blocks())
    block->visit_batch_norms([&](BatchNorm2d<double>& bn) {
      ++batch_norms;
      CHECK(bn.eps == 0.25);
      CHECK(bn.momentum == 0.5);
    });
  CHECK(batch_norms == 6);
  const std::set<std::string> names = parameter_names(model);
  CHECK(names.contains("stage2.1.pointwise.weight"));
  CHECK(names.contains("stage4.0.norm.running_mean"));
  CHECK(names.size() == 6 * 5 + 2);
}

TEST_CASE("A network of a user's own blocks has the gradients of all parameters") {
  Random random(2);
  Vgg<double> model(tiny_config(), [](const BlockSpec& spec) { return std::make_unique<OwnBlock<double>>(spec); });
  init_weights(model, 1);
  const Tensor<double> images = random_tensor<double>(random, {4, 8, 8, 3});
  const std::vector<int> labels{0, 3, 1, 4};
  Tensor<double> grad_logits, ignored;
  cross_entropy<double>(model.forward(images, Phase::train), labels, 0.1, grad_logits);
  model.backward(grad_logits);
  const auto loss = [&] { return cross_entropy<double>(model.forward(images, Phase::train), labels, 0.1, ignored); };
  model.visit_parameters([&](const std::string& name, Parameter<double>& parameter) {
    if (!parameter.requires_grad) return;
    CAPTURE(name);
    const std::vector<double> grad = parameter.grad;
    CHECK(relative_error(grad, numeric_gradient(parameter.value, loss)) < 1e-5);
  });
}

TEST_CASE("A gradient of another shape than the output is refused, in every block and layer that stores an output") {
  Random random(3);
  const Tensor<double> images = random_tensor<double>(random, {4, 8, 8, 3});
  const Tensor<double> grad_logits = random_tensor<double>(random, {2, 1, 1, tiny_config().classes});
  Vgg<double> plain = plain_vgg<double>(tiny_config(), 1), repvgg = rep_vgg<double>(tiny_config(), 1);
  for (Vgg<double>* model : {&plain, &repvgg}) {
    model->forward(images, Phase::train);
    CHECK_THROWS_WITH_AS(model->backward(grad_logits), "grad_y is 2x1x1x5, the output was 4x1x1x5",
                         std::invalid_argument);
    for (const auto& block : model->blocks()) {
      Tensor<double> grad({1, 1, 1, 1});
      GradScratch<double> scratch;
      CHECK_THROWS_AS(block->backward(grad, scratch), std::invalid_argument);
    }
  }
  Tensor<double> x({2, 1, 1, 3}), grad({1, 1, 1, 3});
  Relu<double> relu;
  relu.forward(x);
  CHECK_THROWS_AS(relu.backward(grad), std::invalid_argument);
  Scale<double> scale({1, 2, 3}, true);
  scale.forward(x);
  CHECK_THROWS_AS(scale.backward(grad), std::invalid_argument);
}

TEST_CASE("A place without a block is refused") {
  const auto all_but_one = [](const BlockSpec& spec) {
    return spec.name == "stage2.1" ? nullptr : std::make_unique<OwnBlock<float>>(spec);
  };
  CHECK_THROWS_WITH_AS(Vgg<float>(tiny_config(), all_but_one), "the builder made no block for 'stage2.1'",
                       std::invalid_argument);
}

TEST_CASE("A new network is zero, and its drawn weights depend only on seed and name") {
  const auto scales = mixed_sign_scales<float>(tiny_config(), 2);
  Vgg<float> csla(tiny_config(), [&](const BlockSpec& spec) { return csla_block(spec, scales); });
  Vgg<float> plain(tiny_config(), plain_block<float>);
  const auto value_of = [](Vgg<float>& model, const std::string& wanted) {
    std::vector<float> value;
    model.visit_parameters([&](const std::string& name, Parameter<float>& p) {
      if (name == wanted) value = p.value;
    });
    return value;
  };
  CHECK(value_of(plain, "stage2.1.conv.weight") == std::vector<float>(9 * 5 * 5));
  CHECK(value_of(plain, "linear.weight") == std::vector<float>(7 * 5));
  init_weights(csla, 3);
  init_weights(plain, 3);
  for (const char* name : {"stage2.1.conv.weight", "linear.weight", "linear.bias"})
    CHECK(value_of(csla, name) == value_of(plain, name));
  Parameter<float> kernel = Parameter<float>::kernel(tiny_config().block_specs()[3].shape);
  init_uniform(kernel, 9 * 5, 3, "stage2.1.conv.weight");
  CHECK(value_of(plain, "stage2.1.conv.weight") == kernel.value);
  CHECK(value_of(csla, "stage2.1.scale_conv.weight") == scales.at("stage2.1.scale_conv.weight"));
  CHECK(value_of(csla, "stage2.1.scale_identity.weight") == scales.at("stage2.1.scale_identity.weight"));
  CHECK(value_of(csla, "stage2.1.bn.weight") == std::vector<float>(5, 1));
}

TEST_CASE("An impossible network is refused, with its name and both values") {
  CHECK_THROWS_WITH_AS(vgg_preset("B7"),
                       "there is no model 'B7'; the models are cifar-small, cifar-vgg, cifar-deep, A0, B1, B2, L1, L2",
                       std::invalid_argument);
  VggConfig broken = tiny_config();
  broken.blocks[2] = 0;
  CHECK_THROWS_WITH_AS(broken.block_specs(), "stage 3 of model 'tiny' has no block", std::invalid_argument);
  broken = tiny_config();
  broken.classes = 0;
  CHECK_THROWS_WITH_AS(broken.block_specs(), "model 'tiny' has no class", std::invalid_argument);
}
