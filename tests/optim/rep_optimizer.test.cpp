#include "repopt/optim/rep_optimizer.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "optim/kernel_and_bias.hpp"
#include "repopt/optim/rules/update_rule.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// Plain gradient descent, a rule without a form for blocks.
struct OrdinaryRule {
  struct Options {
    double lr = 1;
  };
  template <class T>
  struct State {};
  static constexpr std::string_view name = "ordinary";
  static void validate(const Options&) {}
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, State<T>&, const Options& options) {
    for (std::size_t k = 0; k < weight.size(); ++k) weight[k] -= T(options.lr) * grad_scale * grad[k];
  }
};

static_assert(UpdateRule<Sgd, float> && UpdateRule<AdamW, double> && UpdateRule<OrdinaryRule, float>);
static_assert(ReparameterizableRule<Sgd, float> && ReparameterizableRule<AdamW, double> &&
              ReparameterizableRule<Lion, double> && !ReparameterizableRule<OrdinaryRule, float>);
static_assert(!UpdateRule<Sgd, int> && !UpdateRule<ConvShape, float>);
static_assert(std::is_move_constructible_v<RepSgd<float>> && !std::is_copy_constructible_v<RepSgd<float>>);

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("Each group has its own options, and set_lr sets the lr of every group") {
  std::vector<double> a{1}, b{1};
  const std::vector<double> grad{1};
  RepSgd<double> optimizer;
  optimizer.add_param_group({.lr = 0.5}).add_param("a", a, grad);
  optimizer.add_param_group({.lr = 0.25, .weight_decay = 1}).add_param("b", b, grad);
  optimizer.step();
  CHECK(a[0] == 0.5);
  CHECK(b[0] == 0.5);
  optimizer.set_lr(1);
  optimizer.step();
  CHECK(a[0] == -0.5);
  CHECK(b[0] == -1);
  CHECK_THROWS_WITH_AS(optimizer.set_lr(-1), "lr must be finite and >= 0, it is -1", std::invalid_argument);
  CHECK(optimizer.param_groups()[0].options().lr == 1);
}

TEST_CASE("A moved optimizer keeps its groups, names and state") {
  std::vector<double> a{1}, b{1}, c{1};
  const std::vector<double> grad{1};
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.5, .momentum = 0.5});
  group.add_param("a", a, grad);
  optimizer.step();
  RepSgd<double> moved = std::move(optimizer);
  CHECK(&moved.param_groups()[0] == &group);
  group.add_param("b", b, grad);
  CHECK_THROWS_WITH_AS(group.add_param("a", c, grad), "there is already a parameter 'a'", std::invalid_argument);
  RepSgd<double> assigned;
  assigned = std::move(moved);
  CHECK(&assigned.param_groups()[0] == &group);
  for (int i = 0; i < 20; ++i) assigned.add_param_group();
  group.set_lr(1);
  assigned.step();
  CHECK(a[0] == 0.5 - 1.5);
  CHECK(b[0] == 0);
}

TEST_CASE_TEMPLATE("The user's gradient is never written", Rule, Sgd, AdamW) {
  Random random(80);
  KernelAndBias<float> model(random);
  const std::vector<float> grad = model.grad, bias_grad = model.bias_grad;
  RepOptimizer<Rule, float> optimizer;
  model.add_to(optimizer.add_param_group());
  optimizer.set_grad_scale(0.5);
  for (int step = 0; step < 3; ++step) {
    optimizer.clip_grad_norm(0.1);
    optimizer.step();
  }
  CHECK(model.grad == grad);
  CHECK(model.bias_grad == bias_grad);
}

TEST_CASE_TEMPLATE("set_grad_scale averages summed gradients until it is called again", Rule, Sgd, AdamW) {
  Random random(81), same(81);
  KernelAndBias<double> summed(random), averaged(same);
  for (double& g : averaged.grad) g /= 4;
  for (double& g : averaged.bias_grad) g /= 4;
  RepOptimizer<Rule, double> of_summed, of_averaged;
  summed.add_to(of_summed.add_param_group({.lr = 0.1}));
  averaged.add_to(of_averaged.add_param_group({.lr = 0.1}));
  of_summed.set_grad_scale(0.25);
  for (int step = 0; step < 3; ++step) {
    CHECK(of_summed.clip_grad_norm(0.5) == of_averaged.clip_grad_norm(0.5));
    of_summed.step();
    of_averaged.step();
    CHECK(summed.weight == averaged.weight);
    CHECK(summed.bias == averaged.bias);
  }
}

TEST_CASE("Training starts from pretrained weights without changing them first") {
  Random random(82);
  KernelAndBias<double> model(random);
  const std::vector<double> pretrained = model.weight;
  RepSgd<double> optimizer;
  model.add_to(optimizer.add_param_group({.lr = 0}));
  CHECK(model.weight == pretrained);
  optimizer.step();
  CHECK(model.weight == pretrained);
}

TEST_CASE_TEMPLATE("The first gradient element that is not finite is found, with its parameter's name, index and value",
                   T, float, double) {
  Random random(82);
  KernelAndBias<T> model(random);
  RepOptimizer<Sgd, T> optimizer;
  CHECK_FALSE(optimizer.first_non_finite_grad());
  model.add_to(optimizer.add_param_group());
  CHECK_FALSE(optimizer.first_non_finite_grad());
  model.bias_grad[2] = -std::numeric_limits<T>::infinity();
  CHECK(optimizer.first_non_finite_grad()->param == "bias");
  CHECK(optimizer.first_non_finite_grad()->index == 2);
  CHECK(optimizer.first_non_finite_grad()->value == model.bias_grad[2]);
  model.grad.back() = std::numeric_limits<T>::quiet_NaN();
  CHECK(optimizer.first_non_finite_grad()->param == "weight");
  CHECK(optimizer.first_non_finite_grad()->index == model.grad.size() - 1);
  CHECK(std::isnan(optimizer.first_non_finite_grad()->value));
}

TEST_CASE("A rule that knows no blocks trains ordinary parameters and kernels without a block") {
  std::vector<double> a{1}, b{1};
  const std::vector<double> grad{0.25};
  RepOptimizer<OrdinaryRule, double> optimizer;
  auto& group = optimizer.add_param_group();
  group.add_param("a", a, grad);
  group.add_param("b", b, grad, ConvShape::linear(1, 1));
  optimizer.step();
  CHECK(a[0] == 0.75);
  CHECK(b[0] == 0.75);
}

TEST_CASE("param_group returns a group by its index and refuses other indices") {
  RepSgd<double> optimizer;
  auto& first = optimizer.add_param_group();
  optimizer.add_param_group({.lr = 0.5});
  CHECK(&optimizer.param_group(0) == &first);
  optimizer.param_group(1).set_lr(0.25);
  CHECK(optimizer.param_groups()[1].options().lr == 0.25);
  CHECK_THROWS_WITH_AS(optimizer.param_group(2), "there is no param_group 2, the optimizer has 2",
                       std::invalid_argument);
}

TEST_CASE_TEMPLATE("A frozen parameter keeps its weight and state and does not count in the norm", Rule, Sgd, AdamW) {
  Random random(83);
  KernelAndBias<double> model(random);
  RepOptimizer<Rule, double> optimizer;
  typename Rule::Options options{.lr = 0.1, .weight_decay = 0.1};
  if constexpr (requires { options.momentum; }) options.momentum = 0.9;
  model.add_to(optimizer.add_param_group(options));
  optimizer.step();
  const std::vector<double> weight = model.weight, bias = model.bias;
  const auto state_of = [&](std::size_t i) {
    const auto dict = optimizer.state_dict();
    const auto buffer = dict.params[i].buffers.begin()->second;
    return std::vector<double>(buffer.begin(), buffer.end());
  };
  const std::vector<double> state = state_of(0);
  optimizer.set_frozen("weight", true);
  model.grad[0] = not_a_number;
  CHECK_FALSE(optimizer.first_non_finite_grad());
  double bias_norm = 0;
  for (const double g : model.bias_grad) bias_norm += g * g;
  CHECK(optimizer.clip_grad_norm(100) == doctest::Approx(std::sqrt(bias_norm)));
  optimizer.step();
  CHECK(model.weight == weight);
  CHECK(state_of(0) == state);
  CHECK(model.bias != bias);
  model.grad[0] = 1;
  optimizer.set_frozen("weight", false);
  optimizer.step();
  CHECK(model.weight != weight);
  CHECK_THROWS_WITH_AS(optimizer.set_frozen("gamma", true), "there is no parameter 'gamma'", std::invalid_argument);
}

TEST_CASE("A removed parameter is no longer trained, and its name and memory are free again") {
  std::vector<double> a{1}, b{1};
  const std::vector<double> grad{1};
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.5});
  group.add_param("a", a, grad);
  group.add_param("b", b, grad);
  optimizer.remove_param("a");
  optimizer.step();
  CHECK(a[0] == 1);
  CHECK(b[0] == 0.5);
  REQUIRE(optimizer.state_dict().params.size() == 1);
  CHECK(optimizer.state_dict().params[0].name == "b");
  CHECK_THROWS_WITH_AS(optimizer.remove_param("a"), "there is no parameter 'a'", std::invalid_argument);
  CHECK_NOTHROW(group.add_param("a", a, grad));
}
