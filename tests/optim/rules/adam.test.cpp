#include "repopt/optim/rules/adam.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "optim/plain_rule.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("Adam on an ordinary parameter is torch.optim.Adam", T, double, float) {
  for (const Adam::Options& options : {
           Adam::Options{},
           Adam::Options{.lr = 0.05, .betas = {0.8, 0.9}, .weight_decay = 0.1},
           Adam::Options{.lr = 0.05, .betas = {0, 0.5}, .eps = 1e-2, .weight_decay = 2},
           Adam::Options{.lr = 0.05, .betas = {0.9, 0}, .eps = 0},
           Adam::Options{.lr = 0.05, .betas = {0.9, 0.6}, .weight_decay = 0.1, .amsgrad = true},
           Adam::Options{.lr = 0},
       })
    CHECK(strays_from_torch<Adam, T>(options) < 50);
}

TEST_CASE("Adam's decay is coupled: it enters the moments") {
  std::vector<double> weight{2};
  Adam::State<double> state;
  Adam::update<double>(weight, std::vector<double>{0.5}, 0.5, state,
                       {.lr = 1, .betas = {0.5, 0.75}, .eps = 0, .weight_decay = 0.25});
  CHECK(state.exp_avg[0] == 0.5 * 0.75);
  CHECK(state.exp_avg_sq[0] == 0.25 * 0.75 * 0.75);
  CHECK(weight[0] == doctest::Approx(1));  // the first step is lr * sign(gradient)
}

TEST_CASE("Adam's state is two moments and the number of steps, with amsgrad a third") {
  PlainParam<Adam> plain({}), amsgrad({.betas = {0.9, 0.5}, .amsgrad = true});
  CHECK(plain.optimizer.state_dict().params[0].buffers.empty());
  plain.train(0, 3);
  amsgrad.train(0, 3);
  const auto state = plain.optimizer.state_dict(), amsgrad_state = amsgrad.optimizer.state_dict();
  CHECK(state.rule == "adam");
  CHECK(state.param_groups[0] ==
        std::map<std::string, double>{
            {"lr", 1e-3}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-8}, {"weight_decay", 0}, {"amsgrad", 0}});
  CHECK(state.params[0].counters == std::map<std::string, std::size_t>{{"step", 3}});
  CHECK(state.params[0].buffers.size() == 2);
  CHECK(state.params[0].buffers.at("exp_avg").size() == 7);
  CHECK(state.params[0].buffers.at("exp_avg_sq").size() == 7);
  CHECK(amsgrad_state.params[0].buffers.at("max_exp_avg_sq").size() == 7);
}

TEST_CASE("Adam keeps the largest raw second moment with amsgrad") {
  std::vector<double> weight{0};
  Adam::State<double> state;
  double largest = 0;
  for (const double g : {1.0, 0.1, 0.1, 2.0, 0.0}) {
    Adam::update<double>(weight, std::vector<double>{g}, 1, state, {.betas = {0.9, 0.5}, .amsgrad = true});
    largest = std::max(largest, state.exp_avg_sq[0]);
    CHECK(state.max_exp_avg_sq[0] == largest);
  }
  CHECK(state.exp_avg_sq[0] < largest);
}

TEST_CASE("Adam resumes bit by bit, and refuses a state that contradicts itself") {
  CHECK(resumes<Adam>({.lr = 0.1, .weight_decay = 0.1}));
  CHECK(resumes<Adam>({.lr = 0.1, .betas = {0.9, 0.5}, .amsgrad = true}));
  using Dict = StateDict<double>;
  CHECK(refusal_of_state<Adam>([](Dict&) {}).empty());
  CHECK(refusal_of_state<Adam>([](Dict& dict) { dict.params[0].counters["step"] = 0; }) ==
        "saved state of 'weight': step is 0, exp_avg has 7 elements, exp_avg_sq has 7");
  CHECK(refusal_of_state<Adam>([](Dict& dict) { dict.params[0].buffers.erase("exp_avg_sq"); }) ==
        "saved state of 'weight': step is 3, exp_avg has 7 elements, exp_avg_sq has 0");
  const std::vector<double> third(7, 1.0);
  CHECK(refusal_of_state<Adam>([&](Dict& dict) {
          dict.params[0].counters["step"] = 0;
          dict.params[0].buffers = {{"max_exp_avg_sq", third}};
        }) == "saved state of 'weight': step is 0, max_exp_avg_sq has 7 elements");
  CHECK(refusal_of_state<Adam>([](Dict& dict) { dict.rule = "adamw"; }) ==
        "the optimizer's rule is adam, the saved one is adamw");
}

TEST_CASE("Adam refuses options that torch.optim.Adam refuses, and what is not finite") {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const auto refuses = [](const Adam::Options& options, const char* message) {
    RepOptimizer<Adam, double> optimizer;
    CHECK_THROWS_WITH_AS(optimizer.add_param_group(options), message, std::invalid_argument);
    CHECK(optimizer.param_groups().empty());
  };
  CHECK_NOTHROW(Adam::validate({}));
  CHECK_NOTHROW(Adam::validate({.lr = 0, .betas = {0, 0}, .eps = 0}));
  refuses({.lr = -0.1}, "lr must be finite and >= 0, it is -0.1");
  refuses({.lr = infinite}, "lr must be finite and >= 0, it is inf");
  refuses({.betas = {1, 0.9}}, "betas must be in [0, 1), one is 1");
  refuses({.betas = {0.9, -0.1}}, "betas must be in [0, 1), one is -0.1");
  refuses({.eps = -1e-8}, "eps must be finite and >= 0, it is -1e-08");
  refuses({.eps = infinite}, "eps must be finite and >= 0, it is inf");
  refuses({.weight_decay = -1}, "weight_decay must be finite and >= 0, it is -1");
  refuses({.weight_decay = infinite}, "weight_decay must be finite and >= 0, it is inf");
}
