#include "repopt/nn/models/reparameterize.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

Vgg<double> scaled_model(Mode mode, std::uint64_t seed = 1) {
  return {tiny_config(), mode, seed, mixed_sign_scales<double>(tiny_config(), 2)};
}

/// Names in a group without "stageN.M.", e.g. "conv.weight".
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
    Vgg<double> csla = scaled_model(mode);
    csla.visit_parameters([&](const std::string& name, Parameter<double>& parameter) {
      if (name.find(".bn.") != name.npos)
        fill_random<double>(random, parameter.value, name.ends_with("running_var") ? 0.2 : -1, 1);
    });
    Vgg<double> target = equivalent_target(csla);
    CHECK(target.mode() == Mode::target);
    for (const Phase phase : {Phase::eval, Phase::train, Phase::eval})
      CHECK(relative_error(target.forward(x, phase).values(), csla.forward(x, phase).values()) < 1e-12);
  }
}

TEST_CASE("target_from_prior starts as the CSLA network of the same seed and scales") {
  Random random(2);
  const Tensor<double> x = random_tensor<double>(random, {3, 8, 8, 3});
  Vgg<double> csla = scaled_model(Mode::csla, 5);
  auto target = target_from_prior<double>(tiny_config(), 5, mixed_sign_scales<double>(tiny_config(), 2));
  CHECK(relative_error(target.forward(x, Phase::train).values(), csla.forward(x, Phase::train).values()) < 1e-12);
}

TEST_CASE("A network without CSLA blocks has no equivalent target") {
  Vgg<double> target(tiny_config(), Mode::target, 1);
  CHECK_THROWS_WITH_AS(equivalent_target(target), "mode target has no CSLA blocks", std::invalid_argument);
}

TEST_CASE("prior_block is the block whose branches the CSLA network has") {
  Vgg<double> csla = scaled_model(Mode::csla);
  const auto blocks = prior_blocks(tiny_config(), mixed_sign_scales<double>(tiny_config(), 2));
  const std::vector<BlockSpec> specs = tiny_config().block_specs();
  REQUIRE(blocks.size() == specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const CslaBlock<double>& prior = blocks.at(specs[i].name + ".conv.weight");
    const CslaBlock<double> real = dynamic_cast<CslaBnRelu<double>&>(*csla.blocks()[i]).conv.block();
    REQUIRE(prior.branches().size() == real.branches().size());
    CHECK(prior.branches().size() == (specs[i].has_identity() ? 3 : 2));
    for (std::size_t b = 0; b < real.branches().size(); ++b)
      CHECK(prior.branches()[b].scale == real.branches()[b].scale);
  }
  Scales<double> scales = mixed_sign_scales<double>(tiny_config(), 2);
  scales.erase("stage3.0.scale_1x1.weight");
  CHECK_THROWS_WITH_AS(prior_blocks(tiny_config(), scales), "the scales lack 'stage3.0.scale_1x1.weight'",
                       std::invalid_argument);
}

TEST_CASE("Kernels, the linear weight and the identity's scale decay, batch norms, biases and trained scales do not") {
  const Sgd::Options options{.lr = 0.1, .momentum = 0.9, .weight_decay = 4e-5, .nesterov = true};
  using Kinds = std::set<std::string>;
  const auto check = [&](Vgg<double> model, const Kinds& decayed, const Kinds& not_decayed) {
    CAPTURE(to_string(model.mode()));
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
  check({tiny_config(), Mode::target, 1}, {"conv.weight", "linear.weight"}, {"bn.weight", "bn.bias", "linear.bias"});
  check(scaled_model(Mode::csla), {"conv.weight", "conv_1x1.weight", "scale_identity.weight", "linear.weight"},
        {"bn.weight", "bn.bias", "linear.bias"});
  check(scaled_model(Mode::hyper_search), {"conv.weight", "conv_1x1.weight", "scale_identity.weight", "linear.weight"},
        {"scale_conv.weight", "scale_1x1.weight", "bn.weight", "bn.bias", "linear.bias"});
  check({tiny_config(), Mode::repvgg, 1}, {"conv_3x3.weight", "conv_1x1.weight", "linear.weight"},
        {"bn_3x3.weight", "bn_3x3.bias", "bn_1x1.weight", "bn_1x1.bias", "bn_identity.weight", "bn_identity.bias",
         "linear.bias"});
}

TEST_CASE("A kernel gets the block under its name, the others stand for themselves") {
  Vgg<double> model(tiny_config(), Mode::target, 1);
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

TEST_CASE("A block for a kernel that the network lacks is refused, and the optimizer is left as it was") {
  Vgg<double> model(tiny_config(), Mode::target, 1);
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
  Vgg<double> csla = scaled_model(Mode::csla), target(tiny_config(), Mode::target, 1);
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

TEST_CASE("A deployed network trained with its blocks follows the target network of frozen batch norms") {
  const auto scales = mixed_sign_scales<double>(tiny_config(), 2);
  const Sgd::Options options{.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true};
  Vgg<double> target(tiny_config(), Mode::target, 1);
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
    for (std::size_t i = 0; i < target.blocks().size(); ++i) {
      auto& block = dynamic_cast<ConvBnRelu<double>&>(*target.blocks()[i]);
      auto& fused = dynamic_cast<ConvBiasRelu<double>&>(*plain.blocks()[i]);
      const Vector<double> a = block.bn.eval_affine().scale;
      fill_random<double>(random, fused.conv.weight.grad);
      for (std::size_t k = 0; k < block.conv.weight.grad.size(); ++k)  // HWIO: the output channel is innermost
        block.conv.weight.grad[k] = a[Eigen::Index(k % std::size_t(a.size()))] * fused.conv.weight.grad[k];
      for (Parameter<double>* parameter : {&block.bn.weight, &block.bn.bias, &fused.bias})
        std::ranges::fill(parameter->grad, 0);
    }
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
