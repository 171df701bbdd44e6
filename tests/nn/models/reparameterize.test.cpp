#include "repopt/nn/models/reparameterize.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/nn/layers/csla_conv2d.hpp"
#include "repopt/nn/models/builders.hpp"
#include "support/own_block.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// The names in a group without "stageN.M.", e.g. "conv.weight".
std::set<std::string> kinds(const ParamGroup<Sgd, double>& group) {
  std::set<std::string> result;
  for (const auto& param : group.params()) {
    const auto dot = param.name.find_last_of('.', param.name.find_last_of('.') - 1);
    result.insert(dot == std::string::npos ? param.name : param.name.substr(dot + 1));
  }
  return result;
}

}  // namespace

TEST_CASE("The equivalent target has the CSLA network's outputs, in training and evaluation") {
  Random random(1);
  const Tensor<double> x = random_tensor<double>(random, {3, 8, 8, 3});
  for (const Mode mode : {Mode::csla, Mode::hyper_search}) {
    CAPTURE(to_string(mode));
    Vgg<double> csla = tiny_model<double>(mode);
    csla.visit_parameters([&](const std::string& name, Parameter<double>& parameter) {
      if (name.find(".bn.") != name.npos)
        fill_random<double>(random, parameter.value, name.ends_with("running_var") ? 0.2 : -1, 1);
    });
    Vgg<double> target = equivalent_target(csla);
    for (const Phase phase : {Phase::eval, Phase::train, Phase::eval})
      CHECK(relative_error(target.forward(x, phase).values(), csla.forward(x, phase).values()) < 1e-12);
  }
}

TEST_CASE("target_from_prior starts like the CSLA network of the same seed and scales") {
  Random random(2);
  const Tensor<double> x = random_tensor<double>(random, {3, 8, 8, 3});
  Vgg<double> csla = tiny_model<double>(Mode::csla, 5);
  auto target = target_from_prior<double>(tiny_config(), 5, mixed_sign_scales<double>(tiny_config(), 2));
  CHECK(relative_error(target.forward(x, Phase::train).values(), csla.forward(x, Phase::train).values()) < 1e-12);
}

TEST_CASE("A network without CSLA blocks has no equivalent target") {
  for (const Mode mode : {Mode::target, Mode::repvgg, Mode::qarepvgg, Mode::deploy}) {
    Vgg<double> model = tiny_model<double>(mode);
    CHECK_THROWS_WITH_AS(equivalent_target(model), "block 'stage0' has no CSLA branches, and so no equivalent kernel",
                         std::invalid_argument);
  }
}

TEST_CASE("The equivalent target of a user's own branches has their network's outputs, too") {
  Vgg<double> csla(tiny_config(), [](const BlockSpec& spec) {
    ConvShape row = spec.shape;
    row.kernel_size = {1, 3};
    row.padding = {0, 1};
    CslaConv2d<double> conv(spec.shape);
    const std::vector<double> scale(spec.shape.out_channels, 0.5);
    conv.add_branch("square", "scale_square", spec.shape, scale, false);
    conv.add_branch("row", "scale_row", row, scale, false);
    return std::make_unique<CslaBnRelu<double>>(std::move(conv), spec.shape.out_channels);
  });
  init_weights(csla, 1);
  Vgg<double> target = equivalent_target(csla);
  Random random(3);
  const Tensor<double> x = random_tensor<double>(random, {3, 8, 8, 3});
  CHECK(relative_error(target.forward(x, Phase::train).values(), csla.forward(x, Phase::train).values()) < 1e-12);
}

TEST_CASE("equivalent_target refuses blocks whose kernel or layers do not fit the target") {
  const auto network = [](std::size_t weights_too_many) {
    return Vgg<double>(tiny_config(), [=](const BlockSpec& spec) {
      auto block = std::make_unique<OwnBlock<double>>(spec);
      block->kernel.emplace(spec.shape.size() + weights_too_many);
      return block;
    });
  };
  Vgg<double> too_large = network(1), other_names = network(0);
  CHECK_THROWS_WITH_AS(equivalent_target(too_large),
                       "the equivalent kernel of 'stage0' has 109 weights, the target's has 108",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(equivalent_target(other_names),
                       "the CSLA network has no 'stage0.bn.weight' of the target's shape", std::invalid_argument);
}

TEST_CASE("prior_block has the same branches as the CSLA network's block") {
  const auto all_scales = mixed_sign_scales<double>(tiny_config(), 2);
  const auto blocks = prior_blocks(tiny_config(), all_scales);
  const std::vector<BlockSpec> specs = tiny_config().block_specs();
  REQUIRE(blocks.size() == specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const CslaBlock<double>& prior = blocks.at(specs[i].name + ".conv.weight");
    const CslaBlock<double> real = csla_block(specs[i], all_scales)->conv.block();
    REQUIRE(prior.branches().size() == real.branches().size());
    CHECK(prior.branches().size() == (specs[i].has_identity() ? 3 : 2));
    for (std::size_t b = 0; b < real.branches().size(); ++b)
      CHECK(prior.branches()[b].scale == real.branches()[b].scale);
  }
  Scales<double> scales = all_scales;
  scales.erase("stage3.0.scale_1x1.weight");
  CHECK_THROWS_WITH_AS(prior_blocks(tiny_config(), scales), "the scales lack 'stage3.0.scale_1x1.weight'",
                       std::invalid_argument);
}

TEST_CASE("Kernels, the linear weight and identity scales decay. Batch norms, biases and trained scales do not") {
  const Sgd::Options options{.lr = 0.1, .momentum = 0.9, .weight_decay = 4e-5, .nesterov = true};
  using Kinds = std::set<std::string>;
  const auto check = [&](Mode mode, const Kinds& decayed, const Kinds& not_decayed) {
    CAPTURE(to_string(mode));
    Vgg<double> model = tiny_model<double>(mode);
    RepSgd<double> optimizer;
    add_parameters(optimizer, model, options);
    REQUIRE(optimizer.param_groups().size() == 2);
    CHECK(kinds(optimizer.param_groups()[0]) == decayed);
    CHECK(kinds(optimizer.param_groups()[1]) == not_decayed);
    CHECK(optimizer.param_groups()[0].options().weight_decay == 4e-5);
    CHECK(optimizer.param_groups()[1].options().weight_decay == 0);
    CHECK(optimizer.param_groups()[1].options().nesterov);
    std::size_t count = 0;
    for (const auto& group : optimizer.param_groups())
      for (const auto& param : group.params()) count += param.weight.size();
    CHECK(count == model.parameter_count());
  };
  check(Mode::target, {"conv.weight", "linear.weight"}, {"bn.weight", "bn.bias", "linear.bias"});
  check(Mode::csla, {"conv.weight", "conv_1x1.weight", "scale_identity.weight", "linear.weight"},
        {"bn.weight", "bn.bias", "linear.bias"});
  check(Mode::hyper_search, {"conv.weight", "conv_1x1.weight", "scale_identity.weight", "linear.weight"},
        {"scale_conv.weight", "scale_1x1.weight", "bn.weight", "bn.bias", "linear.bias"});
  check(Mode::repvgg, {"conv_3x3.weight", "conv_1x1.weight", "linear.weight"},
        {"bn_3x3.weight", "bn_3x3.bias", "bn_1x1.weight", "bn_1x1.bias", "bn_identity.weight", "bn_identity.bias",
         "linear.bias"});
  check(Mode::qarepvgg, {"conv_3x3.weight", "conv_1x1.weight", "linear.weight"},
        {"bn_3x3.weight", "bn_3x3.bias", "bn.weight", "bn.bias", "linear.bias"});
}

TEST_CASE("A kernel gets the block under its name, and other kernels get none") {
  Vgg<double> model = tiny_model<double>(Mode::target);
  auto blocks = prior_blocks(tiny_config(), mixed_sign_scales<double>(tiny_config(), 2));
  blocks.erase("stage1.0.conv.weight");
  RepSgd<double> optimizer;
  add_parameters(optimizer, model, {.lr = 0.1}, blocks);
  for (const auto& param : optimizer.param_groups()[0].params()) {
    CAPTURE(param.name);
    const auto block = blocks.find(param.name);
    CHECK(param.branches().size() == (block == blocks.end() ? 0 : block->second.branches().size()));
  }
}

TEST_CASE("A block for a kernel that the network lacks is refused, and the optimizer is unchanged") {
  Vgg<double> model = tiny_model<double>(Mode::target);
  RepSgd<double> optimizer;
  auto blocks = prior_blocks(tiny_config(), mixed_sign_scales<double>(tiny_config(), 2));
  for (const char* name : {"stage9.0.conv.weight", "stage0.bn.weight"}) {
    auto wrong = blocks;
    wrong.emplace(name, CslaBlock<double>::plain(ConvShape::linear(4, 1)));
    CHECK_THROWS_WITH_AS(add_parameters(optimizer, model, {.lr = 0.1}, wrong),
                         concat("the model has no kernel '", name, "'").c_str(), std::invalid_argument);
    CHECK(optimizer.param_groups().empty());
  }
}

TEST_CASE("A block of another layout, or for a network that trains its branches itself, is refused") {
  const Scales<double> scales = mixed_sign_scales<double>(tiny_config(), 2);
  auto blocks = prior_blocks(tiny_config(), scales);
  RepSgd<double> optimizer;
  Vgg<double> csla = tiny_model<double>(Mode::csla), target = tiny_model<double>(Mode::target);
  CHECK_THROWS_WITH_AS(add_parameters(optimizer, csla, {.lr = 0.1}, blocks),
                       "the model trains 'stage0.conv.weight' as one branch of its block: a branch's kernel takes no "
                       "CSLA block",
                       std::invalid_argument);
  ConvShape oihw = blocks.begin()->second.target();
  oihw.layout = WeightLayout::oihw;
  blocks.begin()->second = CslaBlock<double>::plain(oihw);
  CHECK_THROWS_AS(add_parameters(optimizer, target, {.lr = 0.1}, blocks), std::invalid_argument);
  CHECK(optimizer.param_groups().empty());
}

TEST_CASE("In a network of both kinds, plain blocks take CSLA blocks and branches do not") {
  const Scales<double> scales = mixed_sign_scales<double>(tiny_config(), 2);
  Vgg<double> model(tiny_config(), [&](const BlockSpec& spec) -> std::unique_ptr<Block<double>> {
    if (spec.index < 2) return csla_block(spec, scales);
    return plain_block<double>(spec);
  });
  auto blocks = prior_blocks(tiny_config(), scales);
  RepSgd<double> optimizer;
  CHECK_THROWS_WITH_AS(add_parameters(optimizer, model, {.lr = 0.1}, blocks),
                       "the model trains 'stage0.conv.weight' as one branch of its block: a branch's kernel takes no "
                       "CSLA block",
                       std::invalid_argument);
  CHECK(optimizer.param_groups().empty());
  blocks.erase("stage0.conv.weight");
  blocks.erase("stage1.0.conv.weight");
  add_parameters(optimizer, model, {.lr = 0.1}, blocks);
  CHECK(optimizer.param_groups().size() == 2);
}

TEST_CASE("A deployed network trained with its blocks follows the target network of frozen batch norms") {
  const auto scales = mixed_sign_scales<double>(tiny_config(), 2);
  const Sgd::Options options{.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true};
  std::vector<ConvBnRelu<double>*> target_blocks;
  Vgg<double> target(tiny_config(), [&](const BlockSpec& spec) {
    auto block = plain_block<double>(spec);
    target_blocks.push_back(block.get());
    return block;
  });
  init_weights(target, 1);
  Random random(6);
  target.visit_parameters([&](const std::string& name, Parameter<double>& parameter) {
    if (name.find(".bn.") != name.npos)
      fill_random<double>(random, parameter.value, name.ends_with("running_var") ? 0.2 : -1, 1);
  });
  Vgg<double> plain = deployed(target);
  RepSgd<double> rep, deployed_rep;
  add_parameters(rep, target, options, prior_blocks(tiny_config(), scales));
  add_parameters(deployed_rep, plain, options, deployed_blocks(target, scales));
  for (int step = 0; step < 5; ++step) {
    target.zero_grad();
    plain.zero_grad();
    std::size_t index = 0;
    plain.visit_parameters([&](const std::string&, Parameter<double>& fused) {
      if (!fused.conv) return;
      fill_random<double>(random, fused.grad);
      ConvBnRelu<double>& block = *target_blocks[index++];
      const Vector<double> a = block.bn.eval_affine().scale;
      for (std::size_t k = 0; k < fused.grad.size(); ++k)  // HWIO: the output channel is innermost
        block.conv.weight.grad[k] = a[Eigen::Index(k % std::size_t(a.size()))] * fused.grad[k];
    });
    rep.step();
    deployed_rep.step();
  }
  for (std::size_t i = 0; i < target.blocks().size(); ++i)
    CHECK(relative_error(plain.blocks()[i]->fused().weight, target.blocks()[i]->fused().weight) < 1e-12);
  CHECK_THROWS_WITH_AS(
      deployed_blocks(plain, scales),
      "block 'stage0' has 0 batch norms, a kernel that was trained by the Rule of Iteration has 1 after it",
      std::invalid_argument);
}
