#include "repopt/optim/rules/lion.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "optim/plain_rule.hpp"
#include "repopt/core/csla_block.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("Lion on an ordinary parameter is its article's algorithm", T, double, float) {
  for (const Lion::Options& options : {
           Lion::Options{},
           Lion::Options{.lr = 0.01, .betas = {0.5, 0.8}, .weight_decay = 0.5},
           Lion::Options{.lr = 0.01, .betas = {0, 0}},
           Lion::Options{.lr = 0},
       })
    CHECK(strays_from_torch<Lion, T>(options) < 50);
}

TEST_CASE("A step has the size lr in the direction of the sign, and none where the sign is 0") {
  std::vector<double> weight{1, 1, 1};
  Lion::State<double> state;
  const std::vector<double> grad{0.25, -3, 0};
  Lion::update<double>(weight, grad, 2, state, {.lr = 0.125, .betas = {0.5, 0.75}});
  CHECK(weight == std::vector<double>{0.875, 1.125, 1});
  CHECK(state.exp_avg == std::vector<double>{0.125, -1.5, 0});
  Lion::update<double>(weight, std::vector<double>{-0.0625, 0, 0}, 2, state, {.lr = 0.125, .betas = {0.5, 0.75}});
  CHECK(weight == std::vector<double>{0.875, 1.25, 1});  // beta1 m + (1 - beta1) g is 0 in the first
}

TEST_CASE("Lion's update is the sum of |s| over the branches, in every layout") {
  Random random(71);
  for (int trial = 0; trial < 100; ++trial) {
    const CslaBlock<double> block = random_block<double>(random);
    std::vector<double> weight = random.numbers<double>(block.target().size()), expected = weight, sizes(weight.size());
    const auto grad = random.numbers<double>(weight.size());
    Lion::State<double> state;
    Lion::update<double>(weight, grad, 0.5, KernelStream<double>(block), state, {.lr = 0.125, .weight_decay = 0.5});
    block.sum(sizes, [](double s, std::size_t, std::size_t) { return std::abs(s); });
    for (std::size_t k = 0; k < expected.size(); ++k)
      expected[k] = (1 - 0.125 * 0.5) * expected[k] - 0.125 * sizes[k] * (grad[k] > 0 ? 1 : -1);
    INFO("target [", describe(block.target()), "]");
    CHECK(relative_error(weight, expected) < 1e-14);
  }
}

TEST_CASE("Lion's state is one momentum") {
  PlainParam<Lion> param({});
  CHECK(param.optimizer.state_dict().params[0].buffers.empty());
  param.train(0, 3);
  const auto state = param.optimizer.state_dict();
  CHECK(state.rule == "lion");
  CHECK(state.param_groups[0] ==
        std::map<std::string, double>{{"lr", 1e-4}, {"beta1", 0.9}, {"beta2", 0.99}, {"weight_decay", 0}});
  CHECK(state.params[0].counters.empty());
  CHECK(state.params[0].buffers.size() == 1);
  CHECK(state.params[0].buffers.at("exp_avg").size() == 7);
}

TEST_CASE("Lion resumes bit by bit, and refuses the state of another rule") {
  CHECK(resumes<Lion>({.lr = 0.01, .weight_decay = 0.1}));
  using Dict = StateDict<double>;
  CHECK(refusal_of_state<Lion>([](Dict&) {}).empty());
  CHECK(refusal_of_state<Lion>([](Dict& dict) { dict.rule = "adam"; }) ==
        "the optimizer's rule is lion, the saved one is adam");
  CHECK(refusal_of_state<Lion>([](Dict& dict) { dict.params[0].counters["step"] = 3; }) ==
        "saved state of 'weight' has 2 members, rule lion knows 1 of them");
}

TEST_CASE("Lion refuses options that are out of range or not finite") {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const auto refuses = [](const Lion::Options& options, const char* message) {
    RepOptimizer<Lion, double> optimizer;
    CHECK_THROWS_WITH_AS(optimizer.add_param_group(options), message, std::invalid_argument);
    CHECK(optimizer.param_groups().empty());
  };
  CHECK_NOTHROW(Lion::validate({}));
  CHECK_NOTHROW(Lion::validate({.lr = 0, .betas = {0, 0}}));
  refuses({.lr = -0.1}, "lr must be finite and >= 0, it is -0.1");
  refuses({.lr = infinite}, "lr must be finite and >= 0, it is inf");
  refuses({.betas = {1, 0.9}}, "betas must be in [0, 1), one is 1");
  refuses({.betas = {0.9, -0.5}}, "betas must be in [0, 1), one is -0.5");
  refuses({.weight_decay = -1}, "weight_decay must be finite and >= 0, it is -1");
  refuses({.weight_decay = infinite}, "weight_decay must be finite and >= 0, it is inf");
}
