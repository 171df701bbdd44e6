// Trains a small VGG twice: once with torch::optim::SGD, and once with repopt::libtorch::RepSgd, which trains each
// kernel like RepVGG's block.
//
//     torch_vgg [DIR]
//
// DIR is a folder with the binary files of CIFAR-10 or CIFAR-100. Without it, the program generates its pictures. It
// uses a GPU if LibTorch finds one.
#include <torch/cuda.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/schedulers/step_lr.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "data/synthetic.hpp"
#include "repopt/io/cifar.hpp"
#include "repopt/libtorch/initialize.hpp"
#include "repopt/libtorch/rep_optimizer.hpp"
#include "repopt/libtorch/rep_vgg_blocks.hpp"

using namespace repopt;

constexpr int stages = 3, blocks_in_stage = 4, epochs = 3;
constexpr std::int64_t widths[stages] = {16, 32, 64}, batch = 50;

/// Stages of 3x3 convolutions. Each convolution is followed by batch norm and ReLU, and the first one of a stage has
/// stride 2.
struct Vgg : torch::nn::Module {
  std::vector<torch::nn::Conv2d> convs;
  std::vector<torch::nn::BatchNorm2d> norms;
  torch::nn::Linear head{nullptr};

  explicit Vgg(std::int64_t classes) {
    std::int64_t in = 3;
    for (int stage = 0; stage < stages; ++stage)
      for (int i = 0; i < blocks_in_stage; ++i) {
        const std::int64_t out = widths[stage];
        const std::string name = "stage" + std::to_string(stage) + "_" + std::to_string(i);
        const auto options = torch::nn::Conv2dOptions(in, out, 3).stride(i == 0 ? 2 : 1).padding(1).bias(false);
        convs.push_back(register_module(name + "_conv", torch::nn::Conv2d(options)));
        norms.push_back(register_module(name + "_bn", torch::nn::BatchNorm2d(out)));
        in = out;
      }
    head = register_module("head", torch::nn::Linear(in, classes));
  }

  torch::Tensor forward(torch::Tensor x) {
    for (std::size_t i = 0; i < convs.size(); ++i) x = norms[i](convs[i](x)).relu();
    return head(x.mean({2, 3}));
  }
};

/// The first pictures of a data set, at most `limit`, and their labels, as tensors on `device`.
struct Pictures {
  torch::Tensor x, labels;

  Pictures(io::ImageDataset data, std::int64_t limit, torch::Device device) {
    const std::int64_t count = std::min(limit, std::int64_t(data.size()));
    x = torch::from_blob(data.pixels.data(), {count, 3, 32, 32}, torch::kByte).to(torch::kFloat).div(64).sub(2);
    labels = torch::from_blob(data.labels.data(), {count}, torch::kByte).to(torch::kLong);
    x = x.contiguous(torch::MemoryFormat::ChannelsLast).to(device);
    labels = labels.to(device);
  }
};

/// Trains for `epochs` epochs, and prints loss and accuracy after each of them.
void train(Vgg& model, torch::optim::Optimizer& optimizer, const Pictures& train, const Pictures& test) {
  torch::optim::StepLR schedule(optimizer, 1, 0.4);
  for (int epoch = 0; epoch < epochs; ++epoch, schedule.step()) {
    const torch::Tensor order = torch::randperm(train.x.size(0)).to(train.x.device());
    double loss_sum = 0;
    model.train();
    for (std::int64_t begin = 0; begin < order.size(0); begin += batch) {
      const torch::Tensor picked = order.slice(0, begin, begin + batch);
      optimizer.zero_grad();
      const torch::Tensor loss = torch::cross_entropy_loss(model.forward(train.x.index_select(0, picked)),
                                                           train.labels.index_select(0, picked));
      loss.backward();
      optimizer.step();
      loss_sum += loss.item<double>() * double(picked.size(0));
    }
    model.eval();
    const torch::NoGradGuard no_grad;
    const double right = model.forward(test.x).argmax(1).eq(test.labels).to(torch::kDouble).mean().item<double>();
    std::printf("  epoch %d  loss %.3f  test accuracy %.1f %%\n", epoch + 1, loss_sum / double(order.size(0)),
                100 * right);
  }
}

int main(int count, char** arguments) try {
  const bool real = count > 1;
  using repopt_cifar::synthetic_pictures;
  const auto train_set = real ? io::load_cifar_train(arguments[1]) : synthetic_pictures(1000, 1);
  const auto test_set = real ? io::load_cifar_test(arguments[1]) : synthetic_pictures(500, 2);
  const torch::Device device(torch::cuda::is_available() ? torch::kCUDA : torch::kCPU);
  const Pictures train_pictures(train_set, 5000, device), test_pictures(test_set, 1000, device);
  const auto options = torch::optim::SGDOptions(0.05).momentum(0.9).nesterov(true).weight_decay(5e-4);
  const auto classes = std::int64_t(train_set.classes);

  torch::manual_seed(0);
  Vgg plain(classes);
  plain.to(device);
  torch::optim::SGD sgd(plain.parameters(), options);
  std::printf("torch::optim::SGD on %s\n", device.str().c_str());
  train(plain, sgd, train_pictures, test_pictures);

  torch::manual_seed(0);
  Vgg rep(classes);
  rep.to(device);
  const auto blocks = libtorch::rep_vgg_blocks(rep);
  libtorch::initialize(rep, blocks);               // Rule of Initialization
  libtorch::RepSgd rep_sgd(rep, blocks, options);  // Rule of Iteration
  std::puts("repopt::libtorch::RepSgd");
  train(rep, rep_sgd, train_pictures, test_pictures);
} catch (const std::exception& error) {
  std::fprintf(stderr, "torch_vgg: %s\n", error.what());
  return 1;
}
