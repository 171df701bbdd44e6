#include "repopt/optim/rules/lamb.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "optim/plain_rule.hpp"
#include "support/thread_counts.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("LAMB on an ordinary parameter is its article's algorithm", T, double, float) {
  for (const Lamb::Options& options : {
           Lamb::Options{},
           Lamb::Options{.lr = 0.05, .betas = {0.8, 0.9}, .weight_decay = 0.1},
           Lamb::Options{.lr = 0.05, .betas = {0, 0.5}, .eps = 1e-2, .weight_decay = 2},
           Lamb::Options{.lr = 0.05, .betas = {0.9, 0}, .eps = 0},
           Lamb::Options{.lr = 0},
       })
    CHECK(strays_from_torch<Lamb, T>(options) < 50);
}

TEST_CASE("A step is lr times as long as the weight, and decay turns it towards zero") {
  std::vector<double> weight{3, 4};
  Lamb::State<double> state;
  Lamb::update<double>(weight, std::vector<double>{0.5, -0.25}, 1, state, {.lr = 0.5, .eps = 0});
  // The first direction is sign(gradient), whose norm is sqrt(2); the weight's is 5.
  CHECK(weight[0] == doctest::Approx(3 - 2.5 / std::sqrt(2.0)));
  CHECK(weight[1] == doctest::Approx(4 + 2.5 / std::sqrt(2.0)));

  std::vector<double> decayed{3, 4};
  Lamb::State<double> decayed_state;
  Lamb::update<double>(decayed, std::vector<double>{0.5, 0.5}, 1, decayed_state,
                       {.lr = 0.1, .eps = 0, .weight_decay = 2});
  CHECK(decayed[0] == doctest::Approx(3 - 0.5 * 7 / std::hypot(7.0, 9.0)));
  CHECK(decayed[1] == doctest::Approx(4 - 0.5 * 9 / std::hypot(7.0, 9.0)));
}

TEST_CASE("The ratio of the norms is 1 where one of them is 0") {
  std::vector<double> zeros{0, 0};
  Lamb::State<double> state;
  Lamb::update<double>(zeros, std::vector<double>{0.5, -0.25}, 1, state, {.lr = 0.125, .eps = 0});
  CHECK(zeros[0] == doctest::Approx(-0.125));
  CHECK(zeros[1] == doctest::Approx(0.125));

  std::vector<double> weight{1, 2};
  Lamb::State<double> still;
  Lamb::update<double>(weight, std::vector<double>{0, 0}, 1, still, {.lr = 0.125});
  CHECK(weight == std::vector<double>{1, 2});
}

TEST_CASE("LAMB's norms are the same for any number of threads") {
  std::vector<float> expected;
  for_each_thread_count([&] {
    Random random(65);
    auto weight = random.numbers<float>(50000);
    Lamb::State<float> state;
    for (int step = 0; step < 3; ++step)
      Lamb::update<float>(weight, random.numbers<float>(weight.size()), 1, state, {.lr = 0.1, .weight_decay = 0.1});
    if (expected.empty()) expected = weight;  // with one thread
    CHECK(weight == expected);
  });
}

TEST_CASE("LAMB's state is two moments and the number of steps") {
  PlainParam<Lamb> param({});
  CHECK(param.optimizer.state_dict().params[0].buffers.empty());
  param.train(0, 3);
  const auto state = param.optimizer.state_dict();
  CHECK(state.rule == "lamb");
  CHECK(state.param_groups[0] ==
        std::map<std::string, double>{
            {"lr", 1e-3}, {"beta1", 0.9}, {"beta2", 0.999}, {"eps", 1e-6}, {"weight_decay", 0}});
  CHECK(state.params[0].counters == std::map<std::string, std::size_t>{{"step", 3}});
  CHECK(state.params[0].buffers.size() == 2);
  CHECK(state.params[0].buffers.at("exp_avg").size() == 7);
  CHECK(state.params[0].buffers.at("exp_avg_sq").size() == 7);
}

TEST_CASE("LAMB resumes bit by bit, and refuses a state that contradicts itself") {
  CHECK(resumes<Lamb>({.lr = 0.1, .weight_decay = 0.1}));
  using Dict = StateDict<double>;
  CHECK(refusal_of_state<Lamb>([](Dict&) {}).empty());
  CHECK(refusal_of_state<Lamb>([](Dict& dict) { dict.params[0].counters["step"] = 0; }) ==
        "saved state of 'weight': step is 0, exp_avg has 7 elements, exp_avg_sq has 7");
  CHECK(refusal_of_state<Lamb>([](Dict& dict) { dict.params[0].buffers.erase("exp_avg"); }) ==
        "saved state of 'weight': step is 3, exp_avg has 0 elements, exp_avg_sq has 7");
}

TEST_CASE("LAMB refuses options that are out of range or not finite") {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  const auto refuses = [](const Lamb::Options& options, const char* message) {
    RepOptimizer<Lamb, double> optimizer;
    CHECK_THROWS_WITH_AS(optimizer.add_param_group(options), message, std::invalid_argument);
    CHECK(optimizer.param_groups().empty());
  };
  CHECK_NOTHROW(Lamb::validate({}));
  CHECK_NOTHROW(Lamb::validate({.lr = 0, .betas = {0, 0}, .eps = 0}));
  refuses({.lr = -0.1}, "lr must be finite and >= 0, it is -0.1");
  refuses({.betas = {0.9, 1}}, "betas must be in [0, 1), one is 1");
  refuses({.eps = -1e-8}, "eps must be finite and >= 0, it is -1e-08");
  refuses({.weight_decay = infinite}, "weight_decay must be finite and >= 0, it is inf");
}
