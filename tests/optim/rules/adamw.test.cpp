#include "repopt/optim/rules/adamw.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "optim/plain_rule.hpp"
#include "repopt/core/csla_block.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("AdamW on an ordinary parameter is torch.optim.AdamW", T, double, float) {
  for (const AdamW::Options& options : {
           AdamW::Options{},
           AdamW::Options{.lr = 0.05, .betas = {0.8, 0.9}, .weight_decay = 0.1},
           AdamW::Options{.lr = 0.05, .betas = {0, 0.5}, .eps = 1e-2, .weight_decay = 0},
           AdamW::Options{.lr = 0.05, .betas = {0.9, 0}, .eps = 0},
           AdamW::Options{.lr = 0.05, .betas = {0.9, 0.6}, .amsgrad = true},
           AdamW::Options{.lr = 0},
       })
    CHECK(strays_from_torch<AdamW, T>(options) < 50);
}

TEST_CASE("The update is a sum of one term per branch, in every layout") {
  Random random(70);
  for (int trial = 0; trial < 100; ++trial) {
    const CslaBlock<double> block = random_block<double>(random);
    const AdamW::Options options{.lr = 0.1, .betas = {0.8, 0.9}, .eps = trial % 2 ? 1e-2 : 0, .weight_decay = 0.5};
    std::vector<double> weight = random.numbers<double>(block.target().size()), expected = weight;
    const auto grad = random.numbers<double>(weight.size());
    AdamW::State<double> state;
    AdamW::update<double>(weight, grad, 0.5, KernelStream<double>(block), state, options);

    std::vector<double> change(weight.size());
    for (const Branch<double>& branch : block.branches())
      embed(branch.shape, block.target(), [&](std::size_t channel, std::size_t place, std::size_t) {
        const double s = branch.scale[channel], g = 0.5 * grad[place];
        if (s != 0) change[place] += s * s * g / (std::abs(s) * std::abs(g) + options.eps);
      });
    for (std::size_t k = 0; k < weight.size(); ++k) expected[k] = (1 - 0.1 * 0.5) * expected[k] - 0.1 * change[k];
    INFO("target [", describe(block.target()), "]");
    CHECK(relative_error(weight, expected) < 1e-14);
    CHECK(state.step == 1);
    CHECK(state.max_exp_avg_sq.empty());
  }
}

TEST_CASE("A branch with s = 0 contributes nothing at eps = 0, even where the gradient is 0") {
  const ConvShape shape = ConvShape::linear(2, 1);
  const CslaBlock<double> block(shape, {{shape, 0.0}, {shape, -2.0}});
  std::vector<double> weight{1, 1};
  const std::vector<double> grad{0.25, -0.5};
  AdamW::State<double> state;
  AdamW::update<double>(weight, grad, 1, KernelStream<double>(block), state,
                        {.lr = 0.125, .eps = 0, .weight_decay = 0});
  CHECK(weight[0] == doctest::Approx(0.75));
  CHECK(weight[1] == doctest::Approx(1.25));

  const KernelStream<double> still(CslaBlock<double>(shape, {{shape, 0.0}}));
  AdamW::State<double> still_state;
  AdamW::update<double>(weight, std::vector<double>{0, 1}, 1, still, still_state, {.eps = 0, .weight_decay = 0});
  CHECK(weight[0] == doctest::Approx(0.75));
  CHECK(weight[1] == doctest::Approx(1.25));
}

TEST_CASE("amsgrad keeps the largest raw second moment") {
  std::vector<double> weight{0};
  AdamW::State<double> state;
  double largest = 0;
  for (const double g : {1.0, 0.1, 0.1, 2.0, 0.0}) {
    AdamW::update<double>(weight, std::vector<double>{g}, 1, state, {.betas = {0.9, 0.5}, .amsgrad = true});
    largest = std::max(largest, state.exp_avg_sq[0]);
    CHECK(state.max_exp_avg_sq[0] == largest);
  }
  CHECK(state.exp_avg_sq[0] < largest);
}

TEST_CASE("Options that torch.optim.AdamW refuses or that are not finite are refused") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const auto refuses = [](const AdamW::Options& options, const char* message) {
    CHECK_THROWS_WITH_AS(AdamW::validate(options), message, std::invalid_argument);
  };
  CHECK_NOTHROW(AdamW::validate({}));
  CHECK_NOTHROW(AdamW::validate({.lr = 0, .betas = {0, 0}, .eps = 0, .weight_decay = 0}));
  refuses({.lr = -0.1}, "lr must be finite and >= 0, it is -0.1");
  refuses({.lr = nan}, "lr must be finite and >= 0, it is nan");
  refuses({.betas = {1, 0.9}}, "betas must be in [0, 1), one is 1");
  refuses({.betas = {0.9, -0.1}}, "betas must be in [0, 1), one is -0.1");
  refuses({.betas = {0.9, nan}}, "betas must be in [0, 1), one is nan");
  refuses({.eps = -1e-8}, "eps must be finite and >= 0, it is -1e-08");
  refuses({.eps = infinity}, "eps must be finite and >= 0, it is inf");
  refuses({.weight_decay = -1}, "weight_decay must be finite and >= 0, it is -1");
  refuses({.weight_decay = infinity}, "weight_decay must be finite and >= 0, it is inf");
}

TEST_CASE("apply() refuses buffers of another length, and changes nothing") {
  const std::vector<double> grad(3, 1.0);
  std::vector<double> weight(3, 1.0), exp_avg(3), exp_avg_sq(3), small(2);
  const auto refuses = [&](const AdamMomentSpans<double>& moments, const AdamW::Options& options, const char* message) {
    CHECK_THROWS_WITH_AS(AdamW::apply<double>(weight, grad, 1, PlainStream<double>(), moments, 1, options), message,
                         std::invalid_argument);
    CHECK(weight == grad);
  };
  refuses({small, exp_avg_sq, {}}, {}, "exp_avg has 2 elements, the weight has 3");
  refuses({exp_avg, {}, {}}, {}, "exp_avg_sq has 0 elements, the weight has 3");
  refuses({exp_avg, exp_avg_sq, {}}, {.amsgrad = true}, "max_exp_avg_sq has 0 elements, the weight has 3");
}
