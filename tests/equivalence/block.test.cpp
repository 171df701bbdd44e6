// Tests the claim of the library: the target kernel, trained with Gradient Re-parameterization, follows the CSLA block.
// At every iteration outputs, kernels and an ordinary bias are compared with branches that a stock optimizer trains.
#include <doctest/doctest.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/optim/lr_schedule.hpp"
#include "repopt/optim/rules/adamw.hpp"
#include "repopt/optim/rules/sgd.hpp"
#include "support/block_kinds.hpp"
#include "support/follow_csla.hpp"
#include "support/random.hpp"

namespace {

using namespace repopt;
using namespace repopt::testing;

/// The bound in double is the project's promise; the largest measured error is 6e-15. The bound in float is two to
/// three times the rounding error that accumulated in 50 to 80 iterations: 5e-6 with SGD and 3e-5 with AdamW.
template <class Rule, class T>
constexpr double tolerance = std::same_as<T, double>   ? 1e-12
                             : std::same_as<Rule, Sgd> ? 1e-5
                                                       : 1e-4;

const Training<Sgd> usual_sgd{.options = {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true}};
const Training<AdamW> usual_adamw{.options = {.lr = 0.01, .weight_decay = 0.05}};

struct ScaleKind {
  std::string name;
  std::function<double(Random&)> draw;
};

const std::array scale_kinds{
    ScaleKind{"positive", [](Random& random) { return random.real(0.3, 1.5); }},
    ScaleKind{"negative", [](Random& random) { return random.real(-1.5, -0.3); }},
    ScaleKind{"of mixed sign", [](Random& random) { return random.real(-1.5, 1.5); }},
    ScaleKind{"partly zero", [](Random& random) { return random.integer(0, 1) ? 0.0 : random.real(0.3, 1.5); }},
};

template <class Rule, class T>
void follow_every_kind(const Training<Rule>& training) {
  Random random(1);
  std::size_t first_layout = 0;
  for (const BlockKind& kind : block_kinds())
    for (const ScaleKind& scales : scale_kinds) {
      const auto block = make_block<T>(kind, first_layout++, [&] { return scales.draw(random); });
      const Strayed strayed = follow_csla(block, training);
      INFO(kind.name, ", scales ", scales.name, ", target in ", std::string(to_string(block.target().layout)));
      CHECK(strayed.output < tolerance<Rule, T>);
      CHECK(strayed.kernel < tolerance<Rule, T>);
      CHECK(strayed.bias < tolerance<Rule, T>);
      CHECK(strayed.average < tolerance<Rule, T>);
    }
}

/// A RepVGG block with positive, negative and zero scales.
template <class T>
CslaBlock<T> repvgg_block(std::size_t first_layout) {
  Random random(2);
  std::size_t count = 0;
  return make_block<T>(block_kinds()[2], first_layout,
                       [&] { return ++count % 4 == 0 ? 0.0 : random.real(0.3, 1.2) * (count % 4 == 1 ? -1 : 1); });
}

template <class Rule, class T>
void follow_with(const std::vector<std::pair<std::string, Training<Rule>>>& trainings) {
  for (const auto& training : trainings)
    for (std::size_t first_layout = 0; first_layout < 3; ++first_layout) {
      const auto block = repvgg_block<T>(first_layout);
      INFO(training.first, ", target in ", std::string(to_string(block.target().layout)));
      const Strayed strayed = follow_csla(block, training.second);
      CHECK(strayed.output < tolerance<Rule, T>);
      CHECK(strayed.kernel < tolerance<Rule, T>);
      CHECK(strayed.bias < tolerance<Rule, T>);
      CHECK(strayed.norm < tolerance<Rule, T>);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("SGD with GradMult follows the CSLA block for 50 iterations", T, double, float) {
  follow_every_kind<Sgd, T>(usual_sgd);
}

TEST_CASE_TEMPLATE("AdamW with a term per branch follows the CSLA block for 50 iterations", T, double, float) {
  follow_every_kind<AdamW, T>(usual_adamw);
}

TEST_CASE("Lion with |s| follows the CSLA block for 50 iterations") {
  follow_every_kind<Lion, double>({.options = {.lr = 0.003, .weight_decay = 0.1}});
}

TEST_CASE_TEMPLATE("SGD follows the CSLA block with every option", T, double, float) {
  const WarmupCosineLr cosine{.lr = 0.1, .warmup_steps = 5, .total_steps = 50};
  follow_with<Sgd, T>({
      {"plain", {.options = {.lr = 0.1}}},
      {"weight decay", {.options = {.lr = 0.1, .weight_decay = 0.05}}},
      {"momentum", {.options = {.lr = 0.05, .momentum = 0.9}}},
      {"Nesterov", {.options = {.lr = 0.05, .momentum = 0.9, .nesterov = true}}},
      {"dampening", {.options = {.lr = 0.1, .momentum = 0.9, .dampening = 0.4, .weight_decay = 0.01}}},
      {"schedule", {.options = {.lr = 0.1, .momentum = 0.9}, .schedule = cosine}},
      {"step schedule", {.options = {.lr = 0.1, .momentum = 0.9}, .schedule = StepLr{.lr = 0.1, .step_size = 20}}},
      {"accumulation over 3 micro-batches", {.options = {.lr = 0.1, .momentum = 0.9}, .micro_batches = 3}},
      {"clipping", {.options = {.lr = 0.1, .momentum = 0.9}, .max_norm = 0.2}},
      {"clipping that seldom bites", {.options = {.lr = 0.1, .momentum = 0.9}, .max_norm = 0.5}},
      {"all at once",
       {.options = {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true},
        .iterations = 80,
        .micro_batches = 2,
        .max_norm = 0.2,
        .schedule = cosine}},
  });
}

TEST_CASE_TEMPLATE("AdamW follows the CSLA block with every option", T, double, float) {
  const WarmupCosineLr cosine{.lr = 0.02, .warmup_steps = 5, .total_steps = 50};
  follow_with<AdamW, T>({
      {"defaults", {.options = {}}},
      {"no decay", {.options = {.lr = 0.01, .weight_decay = 0}}},
      {"other betas", {.options = {.lr = 0.01, .betas = {0.8, 0.95}}}},
      {"no momentum", {.options = {.lr = 0.01, .betas = {0.0, 0.9}}}},
      {"eps = 0, also where s = 0", {.options = {.lr = 0.01, .eps = 0}}},
      {"large eps", {.options = {.lr = 0.05, .eps = 1e-1}}},
      {"amsgrad", {.options = {.lr = 0.01, .betas = {0.9, 0.6}, .amsgrad = true}}},
      {"schedule", {.options = {.lr = 0.01}, .schedule = cosine}},
      {"accumulation over 3 micro-batches", {.options = {.lr = 0.01}, .micro_batches = 3}},
      {"clipping", {.options = {.lr = 0.01}, .max_norm = 0.2}},
      {"all at once",
       {.options = {.lr = 0.02, .betas = {0.9, 0.6}, .eps = 1e-3, .weight_decay = 0.1, .amsgrad = true},
        .iterations = 80,
        .micro_batches = 2,
        .max_norm = 0.2,
        .schedule = cosine}},
  });
}

TEST_CASE("Lion follows the CSLA block with every option") {
  const WarmupCosineLr cosine{.lr = 0.01, .warmup_steps = 5, .total_steps = 50};
  follow_with<Lion, double>({
      {"defaults", {.options = {}}},
      {"other betas", {.options = {.lr = 0.003, .betas = {0.5, 0.8}}}},
      {"no momentum", {.options = {.lr = 0.003, .betas = {0, 0}}}},
      {"all at once",
       {.options = {.lr = 0.01, .weight_decay = 0.3}, .micro_batches = 2, .max_norm = 0.2, .schedule = cosine}},
  });
}

TEST_CASE_TEMPLATE("The target kernel follows random CSLA blocks", Rule, Sgd, AdamW, Lion) {
  Random random(3);
  for (std::size_t trial = 0; trial < 40; ++trial) {
    const auto block = random_block<double>(random);
    Training<Rule> training{.options = {.lr = 0.01, .weight_decay = 0.01}, .iterations = 20, .max_norm = 0.5};
    training.micro_batches = random.integer(1, 2);
    INFO("trial ", trial, ", target [", describe(block.target()), "], branches ", block.branches().size());
    CHECK(follow_csla(block, training).largest() < tolerance<Rule, double>);
  }
}
