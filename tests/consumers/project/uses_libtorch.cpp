// One step of repopt::libtorch::RepSgd on a LibTorch layer: GradMult is 2 * 2, plus 1 on the diagonal.
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>

#include <repopt/libtorch/folded_kernels.hpp>
#include <repopt/libtorch/rep_optimizer.hpp>
#include <repopt/libtorch/rep_vgg_blocks.hpp>

#ifndef _OPENMP
#error "repopt::libtorch must link OpenMP, so that a step runs on LibTorch's number of threads"
#endif

int main() {
  torch::nn::Linear linear(2, 2);
  torch::nn::init::zeros_(linear->weight);
  const auto blocks =
      repopt::libtorch::rep_vgg_blocks(*linear, {.scale = [](std::size_t) { return 2.0; }, .linear = true});
  repopt::libtorch::RepSgd optimizer(*linear, blocks, torch::optim::SGDOptions(1));
  linear(torch::ones({1, 2})).sum().backward();
  optimizer.step();
  return linear->weight.equal(torch::tensor({{-5.f, -4.f}, {-4.f, -5.f}})) ? 0 : 1;
}
