// Rules that are wrong on purpose. Each must fail, by more than 1e-4, the comparison that the right rule passes with
// less than 1e-12. Otherwise the equivalence tests would prove nothing.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/rules/adamw.hpp"
#include "repopt/optim/rules/lion.hpp"
#include "repopt/optim/rules/sgd.hpp"
#include "support/block_kinds.hpp"
#include "support/follow_csla.hpp"
#include "support/random.hpp"

namespace {

using namespace repopt;
using namespace repopt::testing;

template <class T>
std::vector<T> multiplier(const CslaBlock<T>& block, auto of_scale) {
  std::vector<T> result(block.target().size());
  block.sum(result, [&](T s, std::size_t, std::size_t) { return of_scale(s); });
  return result;
}

/// SGD whose gradient is multiplied by sum_i embed_i(s_i).
struct SgdWithS : Sgd {
  using Sgd::update;
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    std::vector<T> multiplied = multiplier(stream.block(), [](T s) { return s; });
    for (std::size_t k = 0; k < grad.size(); ++k) multiplied[k] *= grad[k];
    Sgd::update<T>(weight, multiplied, grad_scale, state, options);
  }
};

/// SGD whose weight decay is also multiplied by GradMult.
struct SgdWithMultipliedDecay : Sgd {
  using Sgd::update;
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    Options without_decay = options;
    without_decay.weight_decay = 0;
    std::vector<T> multiplied = multiplier(stream.block(), [](T s) { return s * s; });
    for (std::size_t k = 0; k < grad.size(); ++k)
      multiplied[k] *= grad_scale * grad[k] + T(options.weight_decay) * weight[k];
    Sgd::update<T>(weight, multiplied, T(1), state, without_decay);
  }
};

/// AdamW whose update is multiplied by sum_i embed_i(of_scale(s_i)), as if it were linear in the gradient.
template <class OfScale>
struct AdamWTimes : AdamW {
  using AdamW::update;
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    Options without_decay = options;
    without_decay.weight_decay = 0;
    const std::vector<T> factor = multiplier(stream.block(), OfScale());
    const T decay = T(1 - options.lr * options.weight_decay);
    std::vector<T> change(weight.size());
    AdamW::update<T>(change, grad, grad_scale, state, without_decay);
    for (std::size_t k = 0; k < weight.size(); ++k) weight[k] = decay * weight[k] + factor[k] * change[k];
  }
};

struct Signed {
  double operator()(double s) const { return s; }
};
struct Squared {
  double operator()(double s) const { return s * s; }
};
struct Absolute {
  double operator()(double s) const { return std::abs(s); }
};

/// AdamW on GradMult * gradient. The multiplier cancels in its update.
struct AdamWOnMultipliedGrad : AdamW {
  using AdamW::update;
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    std::vector<T> multiplied = multiplier(stream.block(), [](T s) { return s * s; });
    for (std::size_t k = 0; k < grad.size(); ++k) multiplied[k] *= grad[k];
    AdamW::update<T>(weight, multiplied, grad_scale, state, options);
  }
};

/// Lion on GradMult * gradient. The multiplier does not change the gradient's sign.
struct LionOnMultipliedGrad : Lion {
  using Lion::update;
  template <class T>
  static void update(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
                     State<T>& state, const Options& options) {
    std::vector<T> multiplied(grad.size());
    multiply_gradient<T>(stream.block(), grad, multiplied);
    Lion::update<T>(weight, multiplied, grad_scale, state, options);
  }
};

/// RepVGG's block with scales of magnitude 0.3 to 1.2.
CslaBlock<double> repvgg_block(bool mixed_sign) {
  Random random(4);
  return make_block<double>(block_kinds()[2], 0, [&] {
    const double magnitude = random.real(0.3, 1.2);
    return mixed_sign && random.integer(0, 1) ? -magnitude : magnitude;
  });
}

const Training<Sgd> sgd{.options = {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true}};
const Training<AdamW> adamw{.options = {.lr = 0.01, .weight_decay = 0.05}};

/// Runs the right rule and the wrong one through the same comparison.
template <class WrongRule, class Rule>
void must_miss(const CslaBlock<double>& block, const Training<Rule>& training, const Mutation<double>& mutation = {}) {
  CHECK(follow_csla(block, training).largest() < 1e-12);
  const Strayed wrong = follow_csla<Rule, double, WrongRule>(block, training, mutation);
  CHECK(wrong.kernel > 1e-4);
  CHECK(wrong.output > 1e-4);
}

/// The block without its i-th branch.
CslaBlock<double> without(const CslaBlock<double>& block, std::size_t i) {
  auto branches = block.branches();
  branches.erase(branches.begin() + std::ptrdiff_t(i));
  return {block.target(), branches};
}

}  // namespace

TEST_CASE("SGD with s in place of s^2 fails the comparison") {
  for (const bool mixed_sign : {false, true}) must_miss<SgdWithS>(repvgg_block(mixed_sign), sgd);
}

TEST_CASE("SGD with multiplied weight decay fails the comparison") {
  must_miss<SgdWithMultipliedDecay>(repvgg_block(false), sgd);
}

TEST_CASE("AdamW with the signed s fails the comparison if a scale is negative") {
  must_miss<AdamWTimes<Signed>>(repvgg_block(true), adamw);
}

TEST_CASE("AdamW with s^2 on the update or on the gradient fails the comparison") {
  must_miss<AdamWTimes<Squared>>(repvgg_block(false), adamw);
  must_miss<AdamWOnMultipliedGrad>(repvgg_block(false), adamw);
}

TEST_CASE("Lion on the multiplied gradient fails the comparison") {
  must_miss<LionOnMultipliedGrad>(repvgg_block(true), Training<Lion>{.options = {.lr = 0.003, .weight_decay = 0.1}});
}

TEST_CASE("AdamW with one eps for all branches fails the comparison if eps is large") {
  Training<AdamW> training = adamw;
  training.options.eps = 1e-2;
  must_miss<AdamWTimes<Absolute>>(repvgg_block(true), training);
}

TEST_CASE("Clipping by the raw gradient norm fails the comparison") {
  Training<Sgd> training = sgd;
  training.max_norm = 0.2;
  must_miss<Sgd>(repvgg_block(false), training, {.clip_by_raw_norm = true});
  Training<AdamW> adamw_training = adamw;
  adamw_training.max_norm = 0.2;
  must_miss<AdamW>(repvgg_block(true), adamw_training, {.clip_by_raw_norm = true});
}

TEST_CASE("A block without one of its branches fails the comparison") {
  const CslaBlock<double> block = repvgg_block(true);
  for (std::size_t i = 0; i < block.branches().size(); ++i) {
    must_miss<Sgd>(block, sgd, {.optimized_as = without(block, i)});
    must_miss<AdamW>(block, adamw, {.optimized_as = without(block, i)});
  }
}

TEST_CASE("SGD without a multiplier fails the comparison") {
  const CslaBlock<double> block = repvgg_block(false);
  must_miss<Sgd>(block, sgd, {.optimized_as = CslaBlock<double>::plain(block.target())});
  must_miss<AdamW>(block, adamw, {.optimized_as = CslaBlock<double>::plain(block.target())});
}
