// A training step after the first allocates nothing: every call of malloc() and posix_memalign() is counted, which
// glibc lets a program do and sanitizers do themselves.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REPOPT_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REPOPT_SANITIZED
#endif

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "support/tensors.hpp"

#if defined(__GLIBC__) && !defined(REPOPT_SANITIZED)

namespace {

std::atomic<long> allocations = 0;

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// Calls of malloc() in each of some training steps, but in zero_grad(), which makes the parameters' names.
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
    const long before = allocations;
    cross_entropy<T>(model.forward(images, Phase::train), labels, 0.1, grad_logits);
    model.backward(grad_logits);
    optimizer.clip_grad_norm(1);
    optimizer.step();
    counts.push_back(allocations - before);
  }
  return counts;
}

}  // namespace

TEST_CASE_TEMPLATE("A training step after the first allocates nothing", T, float, double) {
  for (const Mode mode : {Mode::target, Mode::csla, Mode::hyper_search, Mode::repvgg}) {
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
