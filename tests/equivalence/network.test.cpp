// Tests the claim for a whole network: a plain network with a RepOptimizer is trained like the network of real CSLA
// branches with the stock optimizer, including batch norms, schedule, weight decay and clipping. The pictures are real
// if REPOPT_CIFAR_DIR names them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "repopt/io/cifar.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/folded_training.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/optim/lr_schedule.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

#ifdef __OPTIMIZE__
constexpr std::size_t many_iterations = 50;
#else
constexpr std::size_t many_iterations = 3;  // without optimization Eigen is about a hundred times slower
#endif

template <class T>
struct Batch {
  Tensor<T> images;
  std::vector<int> labels;
};

/// Real pictures, or noise on one pattern for each label.
io::ImageDataset pictures(std::size_t count) {
  if (const char* directory = std::getenv("REPOPT_CIFAR_DIR")) return io::load_cifar_test(directory);
  Random random(10);
  io::ImageDataset data;
  data.classes = 10;
  for (std::size_t n = 0; n < count; ++n) {
    data.labels.push_back(std::uint8_t(random.integer(0, 9)));
    for (std::size_t k = 0; k < io::ImageDataset::image; ++k)
      data.pixels.push_back(std::uint8_t(random.integer(0, 127) + 12 * ((k / 8 + data.labels.back() * k / 64) % 10)));
  }
  return data;
}

template <class T>
std::vector<Batch<T>> batches(std::size_t count, std::size_t batch_size) {
  const io::ImageDataset data = pictures(count * batch_size);
  std::vector<Batch<T>> result;
  for (std::size_t i = 0; i < count; ++i) {
    Images<T> images{batch_size, 3, 32, 32};
    Batch<T> batch;
    for (std::size_t n = 0; n < batch_size; ++n) {
      const std::size_t index = i * batch_size + n;
      batch.labels.push_back(data.labels[index]);
      std::ranges::transform(data.picture(index), images.data.begin() + std::ptrdiff_t(n * io::ImageDataset::image),
                             [](std::uint8_t pixel) { return (T(pixel) - T(120)) / T(60); });
    }
    batch.images = to_tensor(images);
    result.push_back(std::move(batch));
  }
  return result;
}

template <class Rule>
struct Recipe {
  typename Rule::Options options;
  std::size_t iterations = many_iterations, batch_size = 8;
  std::function<double(std::size_t step)> schedule;
  double max_norm = 0;  ///< argument of clip_grad_norm; 0 for no clipping
};

/// A network and its optimizer, taking one step after another.
template <class Rule, class T>
class Trainer {
 public:
  Trainer(Vgg<T> model, const Recipe<Rule>& recipe, std::map<std::string, CslaBlock<T>> blocks = {})
      : model_(std::move(model)), recipe_(recipe) {
    add_parameters(optimizer_, model_, recipe.options, std::move(blocks));
  }

  Vgg<T>& model() { return model_; }
  double norm() const { return norm_; }

  /// Takes one step and returns the loss.
  double step(const Batch<T>& batch, std::size_t iteration) {
    if (recipe_.schedule) optimizer_.set_lr(recipe_.schedule(iteration));
    model_.zero_grad();
    const double loss = cross_entropy<T>(model_.forward(batch.images, Phase::train), batch.labels, 0.1, grad_logits_);
    model_.backward(grad_logits_);
    if (recipe_.max_norm > 0) norm_ = optimizer_.clip_grad_norm(recipe_.max_norm);
    optimizer_.step();
    return loss;
  }

 private:
  Vgg<T> model_;
  Recipe<Rule> recipe_;
  RepOptimizer<Rule, T> optimizer_;
  Tensor<T> grad_logits_;
  double norm_ = 0;
};

/// The largest relative errors of losses and gradient norms over all iterations, and of parameters and running
/// statistics at the end.
struct NetworkDistance {
  double loss = 0, norm = 0, kernel = 0, other = 0;
  std::size_t clipped = 0;  ///< number of iterations that were clipped
};

/// Trains the network of CSLA branches with plain optimizer steps and the target network with `blocks`, and compares
/// them.
template <class Rule, class T>
NetworkDistance follow_csla_network(const Recipe<Rule>& recipe, const Scales<T>& scales,
                                    std::map<std::string, CslaBlock<T>> blocks) {
  const VggConfig config = vgg_preset("cifar-small");
  constexpr std::uint64_t seed = 7;
  Trainer<Rule, T> csla(csla_vgg(config, seed, scales), recipe);
  Trainer<Rule, T> target(target_from_prior<T>(config, seed, scales), recipe, std::move(blocks));
  NetworkDistance distance;
  std::size_t iteration = 0;
  for (const Batch<T>& batch : batches<T>(recipe.iterations, recipe.batch_size)) {
    const double expected = csla.step(batch, iteration), loss = target.step(batch, iteration);
    distance.loss = std::max(distance.loss, std::abs(loss - expected) / expected);
    if (csla.norm() > 0) distance.norm = std::max(distance.norm, std::abs(target.norm() - csla.norm()) / csla.norm());
    distance.clipped += csla.norm() > recipe.max_norm;
    ++iteration;
  }
  Vgg<T> equivalent = equivalent_target(csla.model());
  std::map<std::string, std::vector<T>> expected;
  equivalent.visit_parameters([&](const std::string& name, Parameter<T>& p) { expected[name] = p.value; });
  target.model().visit_parameters([&](const std::string& name, Parameter<T>& p) {
    double& error = p.conv ? distance.kernel : distance.other;
    error = std::max(error, relative_error(p.value, expected.at(name)));
  });
  return distance;
}

/// Trains Hyper-Search's network of real branches and the same branches folded, and compares the losses.
template <class Rule>
double follow_search_folded(const Recipe<Rule>& recipe, const Scales<double>& scales) {
  const VggConfig config = vgg_preset("cifar-small");
  constexpr std::uint64_t seed = 7;
  Trainer<Rule, double> real(hyper_search_vgg(config, seed, scales), recipe);
  Vgg<double> model = plain_vgg<double>(config, seed);
  FoldedTraining<double> folded(model, folded_kernels(config, Prior::repvgg, scales, true));
  init_branches(folded, seed);
  RepOptimizer<Rule, double> optimizer;
  add_parameters(optimizer, folded, recipe.options);
  Tensor<double> grad_logits;
  double largest = 0;
  std::size_t iteration = 0;
  for (const Batch<double>& batch : batches<double>(recipe.iterations, recipe.batch_size)) {
    const double expected = real.step(batch, iteration);
    if (recipe.schedule) optimizer.set_lr(recipe.schedule(iteration));
    folded.fold();
    model.zero_grad();
    const double loss =
        cross_entropy<double>(model.forward(batch.images, Phase::train), batch.labels, 0.1, grad_logits);
    model.backward(grad_logits);
    folded.add_gradients();
    if (recipe.max_norm > 0) optimizer.clip_grad_norm(recipe.max_norm);
    optimizer.step();
    largest = std::max(largest, std::abs(loss - expected) / expected);
    ++iteration;
  }
  return largest;
}

const VggConfig cifar_small = vgg_preset("cifar-small");

/// Options with Nesterov momentum, weight decay, warm-up, cosine and clipping. A larger lr makes the training itself
/// chaotic: with lr 0.1 on real pictures, rounding errors have grown to 4e-12 after 50 iterations.
Recipe<Sgd> sgd_recipe() {
  return {.options = {.lr = 0.02, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true},
          .schedule = WarmupCosineLr{.lr = 0.02, .warmup_steps = 10, .total_steps = 60},
          .max_norm = 3};
}

Recipe<AdamW> adamw_recipe() {
  return {.options = {.lr = 1e-3, .weight_decay = 0.05},
          .iterations = std::min<std::size_t>(many_iterations, 10),
          .schedule = WarmupCosineLr{.lr = 1e-3, .warmup_steps = 5, .total_steps = 15},
          .max_norm = 3};
}

}  // namespace

TEST_CASE("SGD follows the network of CSLA branches for 50 iterations") {
  const auto scales = mixed_sign_scales<double>(cifar_small, 3);
  const NetworkDistance distance = follow_csla_network(sgd_recipe(), scales, prior_blocks(cifar_small, scales));
  CHECK(distance.loss < 1e-12);
  CHECK(distance.norm < 1e-11);
  CHECK(distance.kernel < 1e-11);
  CHECK(distance.other < 1e-11);
  CHECK(distance.clipped > 0);
}

TEST_CASE("AdamW follows the network of CSLA branches for 10 iterations") {
  const auto scales = mixed_sign_scales<double>(cifar_small, 4);
  const NetworkDistance distance = follow_csla_network(adamw_recipe(), scales, prior_blocks(cifar_small, scales));
  CHECK(distance.loss < 1e-12);
  CHECK(distance.norm < 1e-12);
  CHECK(distance.kernel < 1e-11);  // if a gradient is nearly 0, AdamW divides one rounding error by another
  CHECK(distance.other < 1e-11);
  CHECK(distance.clipped > 0);
}

TEST_CASE("Hyper-Search folded follows Hyper-Search's real branches, SGD for 50 iterations and AdamW for 10") {
  const auto scales = mixed_sign_scales<double>(cifar_small, 5);
  CHECK(follow_search_folded(sgd_recipe(), scales) < 1e-12);
  CHECK(follow_search_folded(adamw_recipe(), scales) < 1e-12);
}

// Rounding alone causes errors of 1e-7 in the losses and 1e-6 in the kernels. Each iteration computes a million
// activations, and now and then one of them is so close to 0 that only one of the two networks rounds it to a positive
// number. ReLU then makes the errors grow to 1e-4 and 5e-3. The mutation below, in double, shows that a wrong rule
// causes far larger errors.
TEST_CASE("In float SGD follows the network of CSLA branches for 5 iterations, within the errors that ReLU causes") {
  const auto scales = mixed_sign_scales<float>(cifar_small, 3);
  Recipe<Sgd> recipe = sgd_recipe();
  recipe.iterations = std::min<std::size_t>(many_iterations, 5);
  const NetworkDistance distance = follow_csla_network(recipe, scales, prior_blocks(cifar_small, scales));
  // One activation that is rounded to different sides of 0 has been seen to cause errors of 2e-4, 3e-3 and 1e-3.
  CHECK(distance.loss < 1e-3);
  CHECK(distance.norm < 1e-2);
  CHECK(distance.kernel < 1e-2);
}

TEST_CASE("A network whose optimizer lacks the scales of one kernel does not follow") {
  const auto scales = mixed_sign_scales<double>(cifar_small, 3);
  auto blocks = prior_blocks(cifar_small, scales);
  const ConvShape shape = blocks.at("stage2.1.conv.weight").target();
  blocks.insert_or_assign("stage2.1.conv.weight", CslaBlock<double>::plain(shape));
  Recipe<Sgd> recipe = sgd_recipe();
  recipe.options.lr = 0.1;
  recipe.schedule = {};
  recipe.iterations = 3;
  const NetworkDistance distance = follow_csla_network(recipe, scales, std::move(blocks));
  CHECK(distance.loss > 1e-4);
  CHECK(distance.norm > 1e-4);
  CHECK(distance.kernel > 1e-4);
}
