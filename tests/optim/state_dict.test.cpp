#include "repopt/optim/state_dict.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/block_kinds.hpp"
#include "support/naive_conv.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

template <class Rule>
typename Rule::Options usual_options();
template <>
Sgd::Options usual_options<Sgd>() {
  return {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true};
}
template <>
AdamW::Options usual_options<AdamW>() {
  return {.lr = 0.02, .betas = {0.8, 0.9}, .amsgrad = true};
}

/// A kernel and a bias, each in its own group. The gradient of step t is the same for every model.
template <class Rule>
struct TrainedModel {
  CslaBlock<double> block;
  std::vector<double> weight, grad, bias, bias_grad;
  RepOptimizer<Rule, double> optimizer;

  explicit TrainedModel(const CslaBlock<double>& csla_block,
                        const typename Rule::Options& options = usual_options<Rule>())
      : block(csla_block), weight(block.target().size(), 0.5), grad(weight.size()), bias(4, 0.5), bias_grad(4) {
    optimizer.add_param_group(options).add_param("weight", weight, grad, block);
    auto bias_options = options;
    bias_options.weight_decay = 0;
    optimizer.add_param_group(bias_options).add_param("bias", bias, bias_grad);
  }

  void train(std::size_t first_step, std::size_t steps) {
    for (std::size_t t = first_step; t < first_step + steps; ++t) {
      Random random(90 + t);
      const auto oihw = random.numbers<double>(grad.size());
      std::ranges::copy(from_oihw(block.target(), oihw), grad.begin());
      std::ranges::copy(random.numbers<double>(4), bias_grad.begin());
      optimizer.step();
    }
  }

  std::vector<double> weight_oihw() const { return to_oihw(block.target(), weight); }

  /// Continues from another model's weights and saved state.
  void resume(const TrainedModel& other) {
    std::ranges::copy(from_oihw(block.target(), other.weight_oihw()), weight.begin());
    std::ranges::copy(other.bias, bias.begin());
    optimizer.load_state_dict(other.optimizer.state_dict());
  }
};

CslaBlock<double> repvgg_block(std::size_t first_layout, std::uint64_t seed = 91) {
  Random random(seed);
  return make_block<double>(block_kinds()[2], first_layout, [&] { return random.real(-1.5, 1.5); });
}

/// Everything that a training step depends on, as text.
std::string everything(const auto& model) {
  std::string text;
  const auto add = [&](const auto& values) {
    for (const auto value : values) text += concat(value, " ");
    text += "| ";
  };
  add(model.weight);
  add(model.bias);
  const auto dict = model.optimizer.state_dict();
  for (const auto& options : dict.param_groups)
    for (const auto& [name, value] : options) text += concat(name, "=", value, " ");
  for (const auto& param : dict.params) {
    for (const auto& branch : param.branches) add(branch.scale);
    for (const auto& [name, buffer] : param.buffers) add(buffer);
    for (const auto& [name, counter] : param.counters) text += concat(name, "=", counter, " ");
  }
  return text;
}

}  // namespace

TEST_CASE("state_dict holds rule, options, shapes, scales and buffers by name") {
  TrainedModel<Sgd> model(repvgg_block(1));
  CHECK(model.optimizer.state_dict().params[0].buffers.empty());
  model.train(0, 1);
  const auto dict = model.optimizer.state_dict();
  CHECK(dict.rule == "sgd");
  REQUIRE(dict.param_groups.size() == 2);
  CHECK(dict.param_groups[0] ==
        std::map<std::string, double>{
            {"lr", 0.1}, {"momentum", 0.9}, {"dampening", 0}, {"weight_decay", 0.01}, {"nesterov", 1}});
  CHECK(dict.param_groups[1].at("weight_decay") == 0);
  REQUIRE(dict.params.size() == 2);
  CHECK(dict.params[0].name == "weight");
  CHECK(dict.params[0].group == 0);
  CHECK(dict.params[0].shape == model.block.target());
  CHECK(dict.params[0].branches == model.block.branches());
  CHECK(dict.params[0].buffers.at("momentum_buffer").size() == model.weight.size());
  CHECK(dict.params[0].counters.empty());
  CHECK(dict.params[1].name == "bias");
  CHECK(dict.params[1].group == 1);

  TrainedModel<AdamW> adamw(repvgg_block(1));
  adamw.train(0, 3);
  const auto adamw_dict = adamw.optimizer.state_dict();
  CHECK(adamw_dict.rule == "adamw");
  CHECK(adamw_dict.param_groups[0].at("beta1") == 0.8);
  CHECK(adamw_dict.param_groups[0].at("amsgrad") == 1);
  CHECK(adamw_dict.params[0].buffers.size() == 3);
  CHECK(adamw_dict.params[0].counters.at("step") == 3);
}

TEST_CASE_TEMPLATE("A resumed training continues bit by bit", Rule, Sgd, AdamW) {
  for (const std::size_t steps : std::initializer_list<std::size_t>{0, 1, 5}) {
    TrainedModel<Rule> straight(repvgg_block(0)), stopped(repvgg_block(0)), resumed(repvgg_block(0));
    straight.train(0, steps + 5);
    stopped.train(0, steps);
    resumed.resume(stopped);
    CHECK(everything(resumed) == everything(stopped));
    resumed.train(steps, 5);
    CHECK(everything(resumed) == everything(straight));
  }
}

TEST_CASE_TEMPLATE("A resumed training continues in any other layout, too", Rule, Sgd, AdamW) {
  TrainedModel<Rule> straight(repvgg_block(0)), stopped(repvgg_block(0));
  straight.train(0, 10);
  stopped.train(0, 5);
  for (const std::size_t first_layout : std::initializer_list<std::size_t>{1, 2}) {
    TrainedModel<Rule> resumed(repvgg_block(first_layout));
    resumed.resume(stopped);
    resumed.train(5, 5);
    CHECK(relative_error(resumed.weight_oihw(), straight.weight_oihw()) < 1e-14);
    CHECK(relative_error(resumed.bias, straight.bias) < 1e-14);
  }
}

TEST_CASE_TEMPLATE("Saved options and scales replace the current ones, so that a resume needs no scale file", Rule, Sgd,
                   AdamW) {
  TrainedModel<Rule> straight(repvgg_block(0)), stopped(repvgg_block(0));
  straight.train(0, 10);
  stopped.train(0, 5);
  TrainedModel<Rule> resumed(repvgg_block(0, 12345), {.lr = 0.7});
  resumed.train(0, 2);  // builds up its own state, which loading must replace
  resumed.resume(stopped);
  resumed.train(5, 5);
  CHECK(everything(resumed) == everything(straight));
}

TEST_CASE("State of versions before 0.2, in which ordinary parameters and kernels had a plain block, still loads") {
  const ConvShape conv = square(2, 2, 3), linear = ConvShape::linear(3, 1);
  std::vector<double> weight(36, 1.0), grad(36, 0.5), bias(3, 1.0), bias_grad(3, 0.5);
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.1, .momentum = 0.9});
  group.add_param("kernel", weight, grad, conv);
  group.add_param("bias", bias, bias_grad);
  optimizer.step();
  StateDict<double> saved = optimizer.state_dict();
  std::vector<double> kernel_buffer(36, 3.0), bias_buffer{1, 2, 3};
  saved.params[0].branches = {{conv, 1.0}};
  saved.params[0].buffers["momentum_buffer"] = kernel_buffer;
  saved.params[1].shape = linear;
  saved.params[1].branches = {{linear, 1.0}};
  saved.params[1].buffers["momentum_buffer"] = bias_buffer;
  optimizer.load_state_dict(saved);
  const auto loaded = optimizer.state_dict();
  CHECK(loaded.params[0].branches.empty());
  CHECK(std::ranges::equal(loaded.params[0].buffers.at("momentum_buffer"), kernel_buffer));
  CHECK(loaded.params[1].shape == std::nullopt);
  CHECK(std::ranges::equal(loaded.params[1].buffers.at("momentum_buffer"), bias_buffer));

  saved.params[0].branches = {{conv, 2.0}};
  CHECK_THROWS_WITH_AS(optimizer.load_state_dict(saved),
                       "'kernel' has no CSLA block, the saved state has one of 1 branches", std::invalid_argument);
}

TEST_CASE("An optimizer may load its own state_dict") {
  TrainedModel<AdamW> model(repvgg_block(0));
  model.train(0, 3);
  const std::string before = everything(model);
  model.optimizer.load_state_dict(model.optimizer.state_dict());
  CHECK(everything(model) == before);
}

TEST_CASE("State that does not match is refused, and nothing is changed") {
  TrainedModel<AdamW> model(repvgg_block(0)), other(repvgg_block(0, 7));
  model.train(0, 2);
  other.train(5, 3);
  const std::string before = everything(model);
  const std::vector<double> too_short(3);
  using Dict = StateDict<double>;
  const auto refuses = [&](const std::function<void(Dict&)>& spoil, const std::string& message) {
    Dict saved = other.optimizer.state_dict();
    spoil(saved);
    CHECK_THROWS_WITH_AS(model.optimizer.load_state_dict(saved), message.c_str(), std::invalid_argument);
    CHECK(everything(model) == before);
  };
  refuses([](Dict& d) { d.rule = "sgd"; }, "the optimizer's rule is adamw, the saved one is sgd");
  refuses([](Dict& d) { d.param_groups.pop_back(); }, "the optimizer has 2 param_groups, the saved state has 1");
  refuses([](Dict& d) { d.param_groups[1].erase("eps"); }, "saved state of rule adamw lacks option 'eps'");
  refuses([](Dict& d) { d.param_groups[1]["momentum"] = 1; }, "saved state has 7 options, rule adamw has 6");
  refuses([](Dict& d) { d.param_groups[1]["lr"] = -1; }, "lr must be finite and >= 0, it is -1");
  refuses([](Dict& d) { d.param_groups[1]["amsgrad"] = 0.5; }, "saved option 'amsgrad' must be 0 or 1, it is 0.5");
  refuses([](Dict& d) { d.params[1].name = "weight"; }, "the saved state holds 'weight' twice");
  refuses([](Dict& d) { d.params[1].name = "gamma"; }, "the saved state lacks 'bias'");
  refuses([](Dict& d) { d.params.pop_back(); }, "the saved state lacks 'bias'");
  refuses([](Dict& d) { d.params.emplace_back(d.params[0]).name = "gamma"; },
          "the optimizer lacks 'gamma' of the saved state");
  refuses([](Dict& d) { d.params[1].group = 0; }, "'bias' is in param_group 1, saved in 0");
  refuses([](Dict& d) { d.params[1].size = 5; }, "'bias' has 4 elements, saved are 5");
  refuses([](Dict& d) { d.params[1].shape = ConvShape::linear(2, 2); },
          "'bias' is an ordinary parameter, saved is a kernel");
  refuses([](Dict& d) { d.params[0].shape.reset(); },
          "'weight' is a kernel, saved is an ordinary parameter of 144 elements");
  ConvShape wide = *other.optimizer.state_dict().params[0].shape;
  const std::string own_shape = describe(wide);
  wide.in_channels *= 2;
  refuses([&](Dict& d) { d.params[0].shape = wide; },
          "'weight' is [" + own_shape + "], saved is [" + describe(wide) + "]");
  refuses(
      [&](Dict& d) {
        d.params[1].branches = {{ConvShape::linear(4, 1), 2.0}};
      },
      "'bias' has no CSLA block, the saved state has one of 1 branches");
  refuses([](Dict& d) { d.params[0].branches.clear(); }, "'weight' has 3 branches, the saved state has 0");
  refuses([](Dict& d) { d.params[0].branches.pop_back(); }, "'weight' has 3 branches, the saved state has 2");
  const ConvShape conv1x1 = model.block.branches()[1].shape;
  ConvShape grouped = conv1x1;
  grouped.groups = 2;
  refuses([](Dict& d) { d.params[0].branches[1].shape.groups = 2; },
          "branch 1 of 'weight' is [" + describe(conv1x1) + "], saved is [" + describe(grouped) + "]");
  refuses([](Dict& d) { d.params[0].branches[1].scale.pop_back(); },
          "scale has 3 elements, out_channels is 4; branch 1 of 'weight' [" + describe(conv1x1) + "]");
  refuses([](Dict& d) { d.params[0].branches[1].scale[2] = std::numeric_limits<double>::infinity(); },
          "scale holds inf, it must be finite; branch 1 of 'weight' [" + describe(conv1x1) + "]");
  refuses([](Dict& d) { d.params[1].buffers.erase("exp_avg_sq"); },
          "saved state of 'bias': step is 3, exp_avg has 4 elements, exp_avg_sq has 0");
  refuses([&](Dict& d) { d.params[1].buffers["exp_avg"] = too_short; },
          "exp_avg of 'bias' has 4 elements, saved are 3");
  refuses([&](Dict& d) { d.params[1].buffers["momentum_buffer"] = too_short; },
          "saved state of 'bias' has 5 members, rule adamw knows 4 of them");
  refuses([](Dict& d) { d.params[1].counters.clear(); }, "saved state of 'bias' lacks step");
  refuses([](Dict& d) { d.params[1].counters["epoch"] = 1; },
          "saved state of 'bias' has 5 members, rule adamw knows 4 of them");

  CHECK_NOTHROW(model.optimizer.load_state_dict(other.optimizer.state_dict()));
}
