#include "repopt/optim/rules/sgd.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <vector>

#include "optim/plain_rule.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/grad_mult.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE_TEMPLATE("SGD on an ordinary parameter is torch.optim.SGD", T, double, float) {
  for (const Sgd::Options& options : {
           Sgd::Options{.lr = 0.1},
           Sgd::Options{.lr = 0.1, .weight_decay = 0.05},
           Sgd::Options{.lr = 0.1, .momentum = 0.9},
           Sgd::Options{.lr = 0.1, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.05},
           Sgd::Options{.lr = 0.1, .momentum = 0.9, .dampening = -0.5},
           Sgd::Options{.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true},
           Sgd::Options{.lr = 0, .momentum = 0.9},
       })
    CHECK(strays_from_torch<Sgd, T>(options) < 20);
}

TEST_CASE("The first momentum step is undampened, as in PyTorch") {
  std::vector<double> weight{1};
  const std::vector<double> grad{0.5};
  Sgd::State<double> state;
  const Sgd::Options options{.lr = 1, .momentum = 0.5, .dampening = 0.75};
  Sgd::update<double>(weight, grad, 1, state, options);
  CHECK(weight[0] == 0.5);
  Sgd::update<double>(weight, grad, 1, state, options);
  CHECK(state.momentum_buffer[0] == 0.5 * 0.5 + 0.25 * 0.5);
  CHECK(weight[0] == 0.125);
}

TEST_CASE("There is no momentum buffer without momentum") {
  std::vector<float> weight(10, 1), grad(10, 1);
  Sgd::State<float> state;
  Sgd::update<float>(weight, grad, 1, state, {.lr = 0.1});
  CHECK(state.momentum_buffer.empty());
}

TEST_CASE_TEMPLATE("Steps with generated multipliers equal steps with the dense GradMult, in every layout", T, double,
                   float) {
  Random random(62);
  const auto equal = [](const CslaBlock<T>& block) {
    const std::vector<T> grad_mult = GradMult<T>(block).dense();
    for (const Sgd::Options& options :
         {Sgd::Options{.lr = 0.125, .weight_decay = 0.25},
          Sgd::Options{.lr = 0.125, .momentum = 0.5, .weight_decay = 0.25, .nesterov = true}}) {
      INFO("target [", describe(block.target()), "]");
      CHECK(relative_error(updated<Sgd, T>(block, options, 3, grad_mult), updated<Sgd, T>(block, options, 3)) <
            4 * std::numeric_limits<T>::epsilon());  // fused multiply-adds cause a difference
    }
  };
  for (int trial = 0; trial < 100; ++trial) equal(random_block<T>(random));
  for (const WeightLayout layout : {WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio}) {
    ConvShape target = square(1200, 1200, 3, 1, 600);  // in HWIO its rows are longer than a chunk
    target.layout = layout;
    equal({target, {{target, random_scale<T>(random, 1200)}, Branch<T>::identity(1200)}});
    target = square(300, 8, 3);  // in the other layouts its rows are longer than a chunk
    target.layout = layout;
    equal({target, {{target, random_scale<T>(random, 8)}, {square(300, 8, 1), random_scale<T>(random, 8)}}});
  }
}

TEST_CASE("Options that torch.optim.SGD refuses or that are not finite are refused") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const auto refuses = [](const Sgd::Options& options, const char* message) {
    CHECK_THROWS_WITH_AS(Sgd::validate(options), message, std::invalid_argument);
  };
  CHECK_NOTHROW(Sgd::validate({}));
  CHECK_NOTHROW(Sgd::validate({.lr = 0}));
  refuses({.lr = -0.1}, "lr must be finite and >= 0, it is -0.1");
  refuses({.lr = nan}, "lr must be finite and >= 0, it is nan");
  refuses({.lr = infinity}, "lr must be finite and >= 0, it is inf");
  refuses({.momentum = 1}, "momentum must be in [0, 1), it is 1");
  refuses({.momentum = -0.5}, "momentum must be in [0, 1), it is -0.5");
  refuses({.momentum = nan}, "momentum must be in [0, 1), it is nan");
  refuses({.dampening = infinity}, "dampening must be finite, it is inf");
  refuses({.weight_decay = -1}, "weight_decay must be finite and >= 0, it is -1");
  refuses({.weight_decay = nan}, "weight_decay must be finite and >= 0, it is nan");
  refuses({.nesterov = true}, "nesterov needs momentum > 0 and dampening = 0, they are 0 and 0");
  refuses({.momentum = 0.5, .dampening = 0.25, .nesterov = true},
          "nesterov needs momentum > 0 and dampening = 0, they are 0.5 and 0.25");
}

TEST_CASE("apply() refuses a momentum buffer of another length, and changes nothing") {
  const std::vector<double> grad(3, 1.0);
  std::vector<double> weight(3, 1.0);
  CHECK_THROWS_WITH_AS(Sgd::apply<double>(weight, grad, 1, PlainStream<double>(), {}, true, {.lr = 1, .momentum = 0.5}),
                       "momentum_buffer has 0 elements, the weight has 3", std::invalid_argument);
  CHECK(weight == grad);
  Sgd::apply<double>(weight, grad, 1, PlainStream<double>(), {}, true, {.lr = 1});
  CHECK(weight == std::vector<double>(3));
}
