// Tests that training steps after the first one allocate nothing.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "support/allocations.hpp"
#include "support/tensors.hpp"

#ifdef REPOPT_COUNTS_ALLOCATIONS

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// The number of calls of malloc() in each of some training steps. zero_grad() is not counted, because it makes the
/// parameters' names.
template <class Optimizer, class T>
std::vector<long> allocations_by_step(Mode mode, const typename Optimizer::Options& options) {
  const VggConfig config = vgg_preset("cifar-small");
  const Scales<T> scales = nn::sqrt_scales<T>(config);
  Vgg<T> model = mode == Mode::target ? target_from_prior<T>(config, 0, scales)
                                      : build_vgg<T>(config, mode, 0, has_scales(mode) ? scales : Scales<T>{});
  Optimizer optimizer;
  add_parameters(optimizer, model, options,
                 mode == Mode::target ? prior_blocks(config, scales) : std::map<std::string, CslaBlock<T>>{});
  Random random(1);
  const Tensor<T> images = random_tensor<T>(random, {3, 16, 16, 3});
  const std::vector<int> labels{1, 5, 9};
  Tensor<T> grad_logits;

  std::vector<long> counts;
  for (int step = 0; step < 4; ++step) {
    model.zero_grad();
    const long before = allocation_count;
    cross_entropy<T>(model.forward(images, Phase::train), labels, 0.1, grad_logits);
    model.backward(grad_logits);
    optimizer.clip_grad_norm(1);
    optimizer.step();
    counts.push_back(allocation_count - before);
  }
  return counts;
}

}  // namespace

TEST_CASE_TEMPLATE("A training step after the first allocates nothing", T, float, double) {
  for (const Mode mode : {Mode::target, Mode::csla, Mode::hyper_search, Mode::repvgg, Mode::qarepvgg}) {
    CAPTURE(int(mode));
    for (const std::vector<long>& counts : {allocations_by_step<RepSgd<T>, T>(mode, {.lr = 0.01, .momentum = 0.9}),
                                            allocations_by_step<RepAdamW<T>, T>(mode, {.lr = 0.001})}) {
      CHECK(counts[0] > 0);
      CHECK(counts[1] == 0);
      CHECK(counts[2] == 0);
      CHECK(counts[3] == 0);
    }
  }
}

#endif
