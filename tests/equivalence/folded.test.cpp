// The claim of folded training: theta, trained through one kernel by any optimizer, is what the real branches become,
// layer by layer and scale by scale.
#include <doctest/doctest.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/optim/lr_schedule.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/block_kinds.hpp"
#include "support/folded_blocks.hpp"
#include "support/follow_folded.hpp"
#include "support/random.hpp"

namespace {

using namespace repopt;
using namespace repopt::testing;

/// Double: the project's promise; measured are 3e-15. Float: 50 iterations were seen to gather 2e-6.
template <class T>
constexpr double folded_tolerance = std::same_as<T, double> ? 1e-12 : 1e-5;

template <class Rule>
Training<Rule> usual_training();
template <>
Training<Sgd> usual_training<Sgd>() {
  return {.options = {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true}};
}
template <>
Training<AdamW> usual_training<AdamW>() {
  return {.options = {.lr = 0.01, .weight_decay = 0.05}};
}
template <>
Training<Adam> usual_training<Adam>() {
  return {.options = {.lr = 0.01, .weight_decay = 0.05}};
}
template <>
Training<Lion> usual_training<Lion>() {
  return {.options = {.lr = 0.003, .weight_decay = 0.1}};
}
template <>
Training<Lamb> usual_training<Lamb>() {
  return {.options = {.lr = 0.01, .weight_decay = 0.05}};
}

/// Scales of mixed sign, one in four of them 0.
template <class T>
std::vector<T> mixed_scale(Random& random, std::size_t channels) {
  std::vector<T> scale(channels);
  for (std::size_t c = 0; c < channels; ++c)
    scale[c] = c % 4 == 3 ? T(0) : T(random.real(0.3, 1.2) * (random.integer(0, 1) ? -1 : 1));
  return scale;
}

struct FoldedKind {
  std::string name;
  std::function<void(Random&, FoldedBlock<double>&, bool trains_scale)> add;
};

using Folded64 = FoldedBranch<double>;

/// Branches for a target of 4 -> 4 channels and 3x3 taps.
const std::array folded_kinds{
    FoldedKind{"3x3",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add(random, Folded64::conv({square(4, 4, 3), mixed_scale<double>(random, 4)}), trained);
               }},
    FoldedKind{"1x1 and identity",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add(random, Folded64::conv({square(4, 4, 1), mixed_scale<double>(random, 4)}), trained);
                 block.add(random, Folded64::conv(Branch<double>::identity(4)), false);
               }},
    FoldedKind{"grouped 1x3 and depthwise 3x3",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 ConvShape row = with_kernel(square(4, 4, 3), {1, 3});
                 row.groups = 2;
                 block.add(random, Folded64::conv({row, mixed_scale<double>(random, 4)}), trained);
                 block.add(random, Folded64::conv({square(4, 4, 3, 1, 4), mixed_scale<double>(random, 4)}), trained);
               }},
    FoldedKind{"filtered",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add(
                     random,
                     Folded64::filtered({square(4, 4, 3), mixed_scale<double>(random, 4)}, random.numbers<double>(36)),
                     trained);
               }},
    FoldedKind{"average",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add_average(random, {square(4, 4, 3), mixed_scale<double>(random, 4)}, trained);
               }},
    FoldedKind{"1x1, then 3x3",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add(random, Folded64::sequence(square(4, 5, 1), square(5, 4, 3), mixed_scale<double>(random, 4)),
                           trained);
               }},
    FoldedKind{"3x3, then 1x1",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add(random, Folded64::sequence(square(4, 3, 3), square(3, 4, 1), mixed_scale<double>(random, 4)),
                           trained);
               }},
    FoldedKind{"depthwise 3x3 with multiplier 2, then pointwise",
               [](Random& random, FoldedBlock<double>& block, bool trained) {
                 block.add(random,
                           Folded64::sequence(square(4, 8, 3, 1, 4), square(8, 4, 1), mixed_scale<double>(random, 4)),
                           trained);
               }},
};

ConvShape target_in(std::size_t layout) {
  constexpr std::array layouts{WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio};
  ConvShape target = square(4, 4, 3);
  target.layout = layouts[layout % layouts.size()];
  return target;
}

/// A 3x3 with a trained scale, a 1x1 with a constant one, an identity, an average and a sequence.
template <class T>
FoldedBlock<T> mixed_block(std::size_t layout) {
  using Folded = FoldedBranch<T>;
  Random random(21);
  FoldedBlock<T> block{target_in(layout)};
  const auto scale = [&] { return mixed_scale<T>(random, 4); };
  block.add(random, Folded::conv({square(4, 4, 3), scale()}), true);
  block.add(random, Folded::conv({square(4, 4, 1), scale()}), false);
  block.add(random, Folded::conv(Branch<T>::identity(4)), false);
  block.add_average(random, {square(4, 4, 3), scale()}, true);
  block.add(random, Folded::sequence(square(4, 5, 1), square(5, 4, 3), scale()), true);
  return block;
}

template <class Rule, class T>
void must_follow(const FoldedBlock<T>& block, const Training<Rule>& training) {
  const FoldedStrayed strayed = follow_folded(block, training);
  CHECK(strayed.output < folded_tolerance<T>);
  CHECK(strayed.parameters < folded_tolerance<T>);
  CHECK(strayed.norm < folded_tolerance<T>);
  CHECK(strayed.average < folded_tolerance<T>);
}

template <class Rule>
void follow_folded_with(const std::vector<std::pair<std::string, Training<Rule>>>& trainings) {
  std::size_t layout = 0;
  for (const auto& [name, training] : trainings) {
    INFO(name);
    must_follow(mixed_block<double>(layout++), training);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("Folded branches of every kind follow the real ones for 50 iterations", Rule, Sgd, AdamW, Adam, Lion,
                   Lamb) {
  Random random(20);
  std::size_t layout = 0;
  for (const bool trains_scale : {false, true}) {
    for (const FoldedKind& kind : folded_kinds) {
      FoldedBlock<double> block{target_in(layout++)};
      kind.add(random, block, trains_scale);
      INFO(kind.name, trains_scale ? ", trained scale" : "");
      must_follow(block, usual_training<Rule>());
    }
    FoldedBlock<double> all{target_in(layout++)};
    for (const FoldedKind& kind : folded_kinds) kind.add(random, all, trains_scale);
    INFO("all kinds at once", trains_scale ? ", trained scales" : "");
    must_follow(all, usual_training<Rule>());
  }
}

TEST_CASE("Folded branches follow in single precision") {
  for (std::size_t layout = 0; layout < 3; ++layout) {
    must_follow(mixed_block<float>(layout), usual_training<Sgd>());
    must_follow(mixed_block<float>(layout), usual_training<AdamW>());
  }
}

TEST_CASE_TEMPLATE("Folded random blocks are followed", Rule, Sgd, Adam, Lamb) {
  Random random(22);
  for (std::size_t trial = 0; trial < 20; ++trial) {
    const FoldedBlock<double> block = random_folded_block<double>(random);
    Training<Rule> training = usual_training<Rule>();
    training.iterations = 10;
    training.micro_batches = random.integer(1, 2);
    training.max_norm = 0.5;
    INFO("trial ", trial, ", target [", describe(block.target), "], branches ", block.branches.size());
    CHECK(follow_folded(block, training).largest() < 1e-12);
  }
}

TEST_CASE("Folded training follows SGD with every option") {
  const WarmupCosineLr cosine{.lr = 0.1, .warmup_steps = 5, .total_steps = 50};
  follow_folded_with<Sgd>({
      {"plain", {.options = {.lr = 0.1}}},
      {"momentum and decay", {.options = {.lr = 0.05, .momentum = 0.9, .weight_decay = 0.05}}},
      {"dampening", {.options = {.lr = 0.1, .momentum = 0.9, .dampening = 0.4, .weight_decay = 0.01}}},
      {"schedule", {.options = {.lr = 0.1, .momentum = 0.9}, .schedule = cosine}},
      {"accumulation over 3 micro-batches", {.options = {.lr = 0.1, .momentum = 0.9}, .micro_batches = 3}},
      {"clipping", {.options = {.lr = 0.1, .momentum = 0.9}, .max_norm = 0.2}},
      {"all at once",
       {.options = {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true},
        .micro_batches = 2,
        .max_norm = 0.2,
        .schedule = cosine}},
  });
}

TEST_CASE_TEMPLATE("Folded training follows Adam and AdamW with every option", Rule, AdamW, Adam) {
  const WarmupCosineLr cosine{.lr = 0.02, .warmup_steps = 5, .total_steps = 50};
  follow_folded_with<Rule>({
      {"defaults", {.options = {}}},
      {"large eps and decay", {.options = {.lr = 0.05, .eps = 1e-1, .weight_decay = 0.2}}},
      {"amsgrad", {.options = {.lr = 0.01, .betas = {0.9, 0.6}, .weight_decay = 0.1, .amsgrad = true}}},
      {"all at once",
       {.options = {.lr = 0.02, .betas = {0.9, 0.6}, .eps = 1e-3, .weight_decay = 0.1, .amsgrad = true},
        .micro_batches = 2,
        .max_norm = 0.2,
        .schedule = cosine}},
  });
}

TEST_CASE_TEMPLATE("Folded training follows Lion and LAMB with every option", Rule, Lion, Lamb) {
  const WarmupCosineLr cosine{.lr = 0.01, .warmup_steps = 5, .total_steps = 50};
  follow_folded_with<Rule>({
      {"defaults", {.options = {}}},
      {"other betas", {.options = {.lr = 0.003, .betas = {0.5, 0.8}}}},
      {"all at once",
       {.options = {.lr = 0.01, .weight_decay = 0.3}, .micro_batches = 2, .max_norm = 0.2, .schedule = cosine}},
  });
}
