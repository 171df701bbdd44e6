// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "libtorch/net_blocks.hpp"
#include "repopt/optim/rep_optimizer.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::CslaBlocks;
using torch::Tensor;
using torch::optim::AdamWOptions;
using torch::optim::SGDOptions;

namespace {

double follow_sgd(const SGDOptions& options, const Training& training = {}) {
  return follow_stock<libtorch::RepSgd, torch::optim::SGD>(net_blocks(), options, training);
}

double follow_adamw(const AdamWOptions& options, const Training& training = {}) {
  return follow_stock<libtorch::RepAdamW, torch::optim::AdamW>(net_blocks(), options, training);
}

/// A wrong rule: AdamW, given GradMult * grad instead of grad.
struct AdamWOnMultipliedGrad : libtorch::AdamW {
  static void update(const Tensor& weight, const Tensor& grad, double grad_scale, const libtorch::TensorBlock& block,
                     State& state, const Options& options) {
    const Tensor multiplied = torch::zeros_like(grad);
    block.for_each_branch([&](const Tensor& s, auto at) { at(multiplied).addcmul_(s.square(), at(grad)); });
    libtorch::TensorBlock ordinary(weight.options());
    libtorch::AdamW::update(weight, multiplied, grad_scale, ordinary, state, options);
  }
};

}  // namespace

TEST_CASE("RepSgd follows the branches that stock SGD trains for 50 steps") {
  const std::vector<SGDOptions> all_options{SGDOptions(0.05), SGDOptions(0.02).momentum(0.9),
                                            SGDOptions(0.02).momentum(0.9).dampening(0.3).weight_decay(1e-2),
                                            SGDOptions(0.02).weight_decay(0.1), sgd};
  for (const SGDOptions& options : all_options)
    for (const bool channels_last : {false, true}) {
      const double error = follow_sgd(options, {.channels_last = channels_last});
      MESSAGE("largest error " << error);
      CHECK(error < 1e-12);
    }
}

TEST_CASE("RepAdamW follows the branches that stock AdamW trains for 50 steps") {
  for (const AdamWOptions& options : {adamw, AdamWOptions(2e-3).eps(1e-2).betas({0.8, 0.99}).weight_decay(0),
                                      AdamWOptions(2e-3).amsgrad(true).weight_decay(0.05)})
    for (const bool channels_last : {false, true}) {
      const double error = follow_adamw(options, {.channels_last = channels_last});
      MESSAGE("largest error " << error);
      CHECK(error < 1e-12);
    }
}

TEST_CASE("Both rules follow the branches when gradients are clipped by the norm of all branches' gradients") {
  CHECK(follow_sgd(sgd, {.max_norm = 0.5}) < 1e-12);
  CHECK(follow_adamw(adamw, {.max_norm = 0.5}) < 1e-12);
}

TEST_CASE("A learning rate that torch's scheduler sets takes effect in the next step") {
  CHECK(follow_sgd(sgd, {.step_lr = true}) < 1e-12);
  CHECK(follow_adamw(adamw, {.step_lr = true}) < 1e-12);
}

TEST_CASE("A new optimizer that loads the saved state continues the training, with its parameters in another order") {
  CHECK(follow_sgd(sgd, {.reload_after = 20}) < 1e-12);
  CHECK(follow_adamw(AdamWOptions(adamw).amsgrad(true), {.channels_last = true, .reload_after = 20}) < 1e-12);
}

TEST_CASE("In float both networks agree up to rounding") {
  CHECK(follow_sgd(sgd, {.dtype = torch::kFloat}) < 1e-4);
  CHECK(follow_adamw(adamw, {.dtype = torch::kFloat}) < 1e-4);
}

TEST_CASE("Wrong multipliers do not follow the branches") {
  const auto with = [](auto f) { return Training{.optimized_as = with_scales(net_blocks(), f)}; };
  const Training without_blocks{.optimized_as = CslaBlocks{}};
  CHECK(follow_sgd(sgd, with([](double s) { return std::sqrt(std::abs(s)); })) > 1e-4);  // s in the place of s^2
  CHECK(follow_sgd(sgd, without_blocks) > 1e-4);
  CHECK(follow_adamw(adamw, with([](double s) { return s * s; })) > 1e-4);  // s^2 in the place of |s|
  CHECK(follow_adamw(adamw, without_blocks) > 1e-4);
  CHECK(follow_stock<libtorch::RepOptimizer<AdamWOnMultipliedGrad>, torch::optim::AdamW>(net_blocks(), adamw) > 1e-4);
}

TEST_CASE("A step leaves gradients alone, calls the closure with gradients enabled, and skips parameters without one") {
  Net net(net_blocks(), false);
  libtorch::RepSgd optimizer(net, net_blocks(), sgd);
  const auto params = net.named_parameters();
  params["head.bias"].set_requires_grad(false);
  std::vector<Tensor> before, grads;
  const Tensor loss = optimizer.step([&] {
    Tensor result = net.forward(torch::ones({2, 3, 7, 6}) * torch::arange(2).view({2, 1, 1, 1})).square().sum();
    result.backward();
    for (const auto& param : params) {
      before.push_back(param.value().detach().clone());
      grads.push_back(param.value().grad().defined() ? param.value().grad().clone() : Tensor());
    }
    optimizer.clip_grad_norm(0.1);
    return result;
  });
  CHECK(loss.item<double>() > 0);
  for (std::size_t i = 0; i < params.size(); ++i) {
    CAPTURE(params[i].key());
    CHECK(grads[i].defined() == (params[i].key() != "head.bias"));
    CHECK(before[i].equal(params[i].value()) == !grads[i].defined());
    if (grads[i].defined()) CHECK(grads[i].equal(params[i].value().grad()));
  }
}

TEST_CASE("A group that is added later has its own options and blocks, or the defaults") {
  const CslaBlocks blocks = net_blocks();
  Net net(blocks, false);
  libtorch::RepSgd::ParamGroup kernels{.options = SGDOptions(0.25)}, others;
  for (const auto& param : net.named_parameters())
    (blocks.contains(param.key()) ? kernels : others).params.insert(param.key(), param.value());
  libtorch::RepSgd optimizer({others}, {}, SGDOptions(0));
  optimizer.add_param_group(kernels, blocks);
  CHECK(optimizer.param_groups()[0].options().get_lr() == 0);
  CHECK(optimizer.param_groups()[1].options().get_lr() == 0.25);
  CHECK(optimizer.csla_blocks().size() == blocks.size());
  const Tensor head = net.head->weight.detach().clone(), kernel = kernels.params["mix.weight"].detach().clone();
  net.forward(torch::randn({2, 3, 7, 6})).square().sum().backward();
  optimizer.step();
  CHECK(net.head->weight.equal(head));
  CHECK(!kernels.params["mix.weight"].equal(kernel));
}

TEST_CASE("A step stays on the parameters' device: it runs on torch's meta device, which mixes with no other") {
  const CslaBlocks blocks = net_blocks();
  libtorch::NamedParams params;
  for (const auto& param : Net(blocks, false).named_parameters()) {
    Tensor tensor = torch::empty(param.value().sizes(), torch::kMeta).requires_grad_();
    tensor.mutable_grad() = torch::empty(param.value().sizes(), torch::kMeta);
    params.insert(param.key(), tensor);
  }
  libtorch::RepSgd rep_sgd({{.params = params}}, blocks, sgd);
  libtorch::RepAdamW rep_adamw({{.params = params}}, blocks, AdamWOptions(adamw).amsgrad(true));
  for (int step = 0; step < 2; ++step) {
    CHECK_NOTHROW(rep_sgd.step());
    CHECK_NOTHROW(rep_adamw.step());
  }
}

TEST_CASE("Parameters, blocks and options that do not fit are refused by name, before anything changes") {
  const CslaBlocks blocks = net_blocks();
  Net net(blocks, false);
  const auto refused = [](const char* message, auto call) {
    CHECK_THROWS_WITH_AS(call(), message, std::invalid_argument);
  };
  CslaBlocks unknown{{"conv9.weight", blocks.at("conv0.weight")}}, wrong{{"conv1.weight", blocks.at("conv0.weight")}};
  refused("there is a block for 'conv9.weight', but no such parameter", [&] { libtorch::RepSgd(net, unknown, sgd); });
  refused(
      "'conv1.weight' has sizes (6, 6, 3, 3), the block's target is [conv 3->6, kernel 3x3, padding 1x1, stride 1x1, "
      "dilation 1x1, groups 1, oihw]",
      [&] { libtorch::RepSgd(net, wrong, sgd); });
  refused("momentum must be in [0, 1), it is 1", [&] { libtorch::RepSgd(net, blocks, SGDOptions(0.1).momentum(1)); });
  refused("betas must be in [0, 1), one is 1", [&] {
    libtorch::RepAdamW(net, blocks, AdamWOptions().betas({0.9, 1.0}));
  });

  libtorch::RepSgd optimizer(net, blocks, sgd);
  libtorch::NamedParams again, renamed;
  again.insert("head.bias", torch::zeros({4}));
  renamed.insert("bias", net.head->bias);
  refused("there is already a parameter 'head.bias'", [&] { optimizer.add_param_group({.params = again}); });
  refused("the parameter 'bias' is already there, under another name",
          [&] { optimizer.add_param_group({.params = renamed}); });
  refused("max_norm must be > 0, it is 0", [&] { optimizer.clip_grad_norm(0); });
  CHECK(optimizer.param_groups().size() == 1);
}

TEST_CASE("After `using namespace repopt`, torch:: is LibTorch, libtorch:: the bridge, and both RepSgd agree") {
  torch::nn::Linear layer(torch::nn::LinearOptions(2, 2).bias(false));
  torch::nn::init::ones_(layer->weight);
  const ConvShape shape = ConvShape::linear(2, 2);
  libtorch::RepSgd optimizer(*layer, {{"weight", {shape, {{shape, 2}, Branch<double>::identity(2)}}}},
                             SGDOptions(0.125));
  layer->forward(torch::ones({1, 2})).sum().backward();
  optimizer.step();

  std::vector<float> weight(4, 1);
  const std::vector<float> grad(4, 1);
  RepSgd<float> core;
  core.add_param_group({.lr = 0.125})
      .add_param("weight", weight, grad, {shape, {{shape, 2}, Branch<float>::identity(2)}});
  core.step();
  CHECK(layer->weight.equal(torch::tensor(weight).view({2, 2})));
}
