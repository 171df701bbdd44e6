// Hyper-Search with LibTorch. First torch::optim::SGD trains the branches of a small network together with their
// scales; the branches are folded, so the network computes plain convolutions. Then RepSgd trains a new network and
// uses the scales that were found as constants.
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/optim/sgd.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numbers>
#include <string>

#include "repopt/libtorch/folded_kernels.hpp"
#include "repopt/libtorch/rep_optimizer.hpp"
#include "repopt/libtorch/rep_vgg_blocks.hpp"
#include "repopt/libtorch/warmup_cosine_lr.hpp"

using namespace repopt;
using torch::Tensor;

constexpr int steps = 120, side = 16;
constexpr std::int64_t classes = 4, batch = 32;

/// Two stages of three 3x3 convolutions.
torch::nn::Sequential make_model() {
  torch::nn::Sequential model;
  std::int64_t in = 1;
  for (const std::int64_t width : {8, 16})
    for (int i = 0; i < 3; ++i, in = width) {
      const auto options = torch::nn::Conv2dOptions(in, width, 3).stride(i == 0 ? 2 : 1).padding(1).bias(false);
      model->push_back(torch::nn::Conv2d(options));
      model->push_back(torch::nn::BatchNorm2d(width));
      model->push_back(torch::nn::ReLU());
    }
  model->push_back(torch::nn::AdaptiveAvgPool2d(1));
  model->push_back(torch::nn::Flatten());
  model->push_back(torch::nn::Linear(in, classes));
  return model;
}

/// The loss on noisy stripes in four directions, which are the classes.
Tensor loss_of(torch::nn::Sequential& model) {
  const Tensor labels = torch::randint(classes, {batch}, torch::kLong), at = torch::arange(side) * 1.2;
  const Tensor angle = labels.view({-1, 1, 1, 1}) * (std::numbers::pi / classes);
  const Tensor stripes = torch::sin(angle.cos() * at.view({-1, 1}) + angle.sin() * at);
  return torch::nn::functional::cross_entropy(model->forward(stripes + torch::randn({batch, 1, side, side})), labels);
}

void print(const char* part, int step, const Tensor& loss) {
  if (step % 40 == 0 || step == steps - 1) std::printf("%s  step %3d  loss %.3f\n", part, step, loss.item<double>());
}

int main() {
  torch::manual_seed(0);
  const auto options = torch::optim::SGDOptions(0.05).momentum(0.9).nesterov(true).weight_decay(1e-4);

  // 1. Folded Hyper-Search, by an optimizer of torch.
  torch::nn::Sequential searched = make_model();
  libtorch::FoldedKernels folded(*searched, libtorch::rep_vgg_blocks(*searched), {.train_scales = true});
  torch::optim::SGD search(folded.param_groups(options), options);
  for (int step = 0; step < steps; ++step) {
    folded.fold();
    searched->zero_grad();
    const Tensor loss = loss_of(searched);
    loss.backward();
    folded.set_gradients();
    search.step();
    print("search  ", step, loss);
  }

  // 2. Training with the scales that were found. Both rules apply, and there are no branches any more.
  const Scales<double> scales = folded.scales();  // or through a file: formats::save_scales(path, scales)
  for (const char* name : {"3.scale_conv.weight", "3.scale_1x1.weight", "3.scale_identity.weight"})
    std::printf("%s  %.3f %.3f %.3f ...\n", name, scales.at(name)[0], scales.at(name)[1], scales.at(name)[2]);
  torch::nn::Sequential model = make_model();
  const auto blocks = libtorch::rep_vgg_blocks(*model, {.scales = scales});
  libtorch::initialize(*model, blocks);
  libtorch::RepSgd training(*model, blocks, options);
  libtorch::WarmupCosineLr schedule(training, {.warmup_steps = 10, .total_steps = steps});
  for (int step = 0; step < steps; ++step, schedule.step()) {
    training.zero_grad();
    const Tensor loss = loss_of(model);
    loss.backward();
    training.step();
    print("training", step, loss);
  }
}
