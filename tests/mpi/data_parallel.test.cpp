// Compares data-parallel training with one process that has the whole batch. mpirun starts this program as several
// processes. All of them run the same tests in the same order, and each computes the reference by itself.
#define DOCTEST_CONFIG_IMPLEMENT
#include "repopt/mpi/data_parallel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

const mpi::Communicator* all = nullptr;

struct Batch {
  Tensor<double> images;
  std::vector<int> labels;
};

/// The images and labels of a process's share of a batch.
Batch part_of(const Batch& batch, const Share& share) {
  ImageShape shape = batch.images.shape();
  shape.batch = share.size;
  Batch part{Tensor<double>(shape), {}};
  const std::size_t image = shape.height * shape.width * shape.channels;
  std::copy_n(batch.images.data() + share.first * image, share.size * image, part.images.data());
  part.labels.assign(batch.labels.begin() + std::ptrdiff_t(share.first),
                     batch.labels.begin() + std::ptrdiff_t(share.first + share.size));
  return part;
}

/// A network and its optimizer, with clipping, momentum and decay.
class Training {
 public:
  explicit Training(Vgg<double> model, std::map<std::string, CslaBlock<double>> blocks = {})
      : model_(std::move(model)) {
    add_parameters(optimizer_, model_, {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3, .nesterov = true},
                   std::move(blocks));
  }

  Vgg<double>& model() { return model_; }

  /// Trains one step on `batch` and returns the loss of the whole batch. If `together`, each process trains on its
  /// share; otherwise this process trains on the whole batch alone.
  double step(const Batch& batch, bool together) {
    const std::size_t count = batch.labels.size(), processes = together ? all->size() : 1;
    const Share share = share_of(count, together ? all->rank() : 0, processes);
    const Batch part = part_of(batch, share);
    model_.zero_grad();
    std::vector<double> loss{
        cross_entropy<double>(model_.forward(part.images, Phase::train), part.labels, 0.1, grad_logits_)};
    const double weight = double(share.size) * double(processes) / double(count);
    for (double& grad : grad_logits_.values()) grad *= weight;
    model_.backward(grad_logits_);
    loss[0] *= weight;
    if (together) {
      mpi::average_gradients(*all, model_);
      all->average(std::span(loss));
    }
    optimizer_.clip_grad_norm(2);
    optimizer_.step();
    return loss[0];
  }

 private:
  Vgg<double> model_;
  RepSgd<double> optimizer_;
  Tensor<double> grad_logits_;
};

/// The largest relative errors of the losses over 20 iterations, and of the network's numbers afterwards.
struct Strayed {
  double loss = 0, model = 0;
};

/// The relative error of a tensor. A tensor that is zero but for rounding counts by its absolute error: the gradient of
/// the bias of QARepVGG's inner batch norm is zero, because the outer batch norm subtracts the bias again.
double tensor_error(const std::vector<double>& value, const std::vector<double>& expected) {
  double largest = 0, difference = 0;
  for (std::size_t k = 0; k < value.size(); ++k) {
    largest = std::max(largest, std::abs(expected[k]));
    difference = std::max(difference, std::abs(value[k] - expected[k]));
  }
  return largest < 1e-12 ? difference : relative_error(value, expected);
}

/// Trains the same network in one process and in all processes together, with or without synchronized batch norms, on
/// batches of `batch_size` images.
Strayed follow_one_process(auto make_training, std::size_t batch_size, bool sync_bn) {
  Training alone = make_training(), together = make_training();
  mpi::broadcast_parameters(*all, together.model());
  if (sync_bn) mpi::synchronize_batch_norms(*all, together.model());
  Random random(3);
  Strayed strayed;
  for (int iteration = 0; iteration < 20; ++iteration) {
    Batch batch{random_tensor<double>(random, {batch_size, 8, 8, 3}), {}};
    for (std::size_t n = 0; n < batch_size; ++n) batch.labels.push_back(int(random.integer(0, 4)));
    const std::vector<double> expected{alone.step(batch, false)}, loss{together.step(batch, true)};
    strayed.loss = std::max(strayed.loss, relative_error(loss, expected));
  }
  mpi::require_same_parameters(*all, together.model());
  std::map<std::string, std::vector<double>> expected;
  alone.model().visit_parameters([&](const std::string& name, Parameter<double>& p) { expected[name] = p.value; });
  together.model().visit_parameters([&](const std::string& name, Parameter<double>& p) {
    strayed.model = std::max(strayed.model, tensor_error(p.value, expected.at(name)));
  });
  return strayed;
}

Training target_training() {
  const VggConfig config = tiny_config();
  const Scales<double> scales = mixed_sign_scales<double>(config, 1);
  return Training(target_from_prior<double>(config, 2, scales), prior_blocks(config, scales));
}

Training csla_training() { return Training(csla_vgg(tiny_config(), 2, mixed_sign_scales<double>(tiny_config(), 1))); }

Training repvgg_training() { return Training(rep_vgg<double>(tiny_config(), 2)); }

Training qarepvgg_training() { return Training(qa_rep_vgg<double>(tiny_config(), 2)); }

}  // namespace

TEST_CASE("Processes with synchronized batch norms train as one process that has the whole batch") {
  const std::map<std::string, Training (*)()> modes{{"target", target_training},
                                                    {"csla", csla_training},
                                                    {"repvgg", repvgg_training},
                                                    {"qarepvgg", qarepvgg_training}};
  for (const auto& [name, make_training] : modes)
    for (const std::size_t batch_size : {6U, 7U}) {  // 7 makes shares of different sizes
      const Strayed strayed = follow_one_process(make_training, batch_size, true);
      INFO(name, ", batch ", batch_size);
      CHECK(strayed.loss < 1e-10);
      CHECK(strayed.model < 1e-10);
    }
}

TEST_CASE("Without synchronized batch norms the statistics differ, and the comparison detects it") {
  const Strayed strayed = follow_one_process(target_training, 6, false);
  if (all->size() > 1) CHECK(strayed.loss > 1e-4);
}

TEST_CASE("Shares follow one another without a gap") {
  for (std::size_t count : {0U, 1U, 5U, 128U})
    for (std::size_t processes : {1U, 2U, 3U, 7U}) {
      std::size_t next = 0;
      for (std::size_t rank = 0; rank < processes; ++rank) {
        const Share share = share_of(count, rank, processes);
        CHECK(share.first == next);
        CHECK(share.size <= count / processes + 1);
        next += share.size;
      }
      CHECK(next == count);
    }
}

TEST_CASE("sum, average and broadcast give every process the sum, the mean and process 0's values") {
  const double rank = double(all->rank()), size = double(all->size());
  std::vector<float> values{float(rank), 1};
  all->sum(std::span(values));
  CHECK(values == std::vector<float>{float(size * (size - 1) / 2), float(size)});
  values = {float(rank), 5};
  all->average(std::span(values));
  CHECK(values == std::vector<float>{float((size - 1) / 2), 5});
  std::vector<double> more{7 + rank};
  all->broadcast(std::span(more));
  CHECK(more == std::vector<double>{7});
}

TEST_CASE("A disagreement between processes is reported with the name, the process and both values") {
  CHECK_NOTHROW(all->require_same("lr", "0.1"));
  if (all->size() == 1) return;
  const bool last = all->rank() + 1 == all->size();
  const std::string who = std::to_string(all->size() - 1);
  CHECK_THROWS_WITH_AS(all->require_same("lr", last ? "0.25" : "0.1"),
                       ("the processes disagree: lr is 0.25 on process " + who + ", on process 0 it is 0.1").c_str(),
                       std::runtime_error);
  Vgg<double> model = plain_vgg<double>(tiny_config(), all->rank());
  CHECK_THROWS_WITH_AS(mpi::require_same_parameters(*all, model), doctest::Contains("'stage0.conv.weight' is "),
                       std::runtime_error);
  mpi::broadcast_parameters(*all, model);
  CHECK_NOTHROW(mpi::require_same_parameters(*all, model));
}

int main(int argc, char** argv) {
  const mpi::Environment environment;
  const mpi::Communicator processes;
  all = &processes;
  return doctest::Context(argc, argv).run();
}
