// One step of repopt::libtorch::RepSgd on a LibTorch layer: GradMult is 2 * 2, plus 1 on the diagonal.
#include <torch/nn/init.h>
#include <torch/nn/modules/linear.h>

#include <repopt/libtorch/rep_optimizer.hpp>

int main() {
  torch::nn::Linear linear(2, 2);
  torch::nn::init::zeros_(linear->weight);
  const auto shape = repopt::ConvShape::linear(2, 2);
  const repopt::CslaBlock<double> block(shape, {{shape, 2.0}, repopt::Branch<double>::identity(2)});
  repopt::libtorch::RepSgd optimizer(*linear, {{"weight", block}}, torch::optim::SGDOptions(1));
  linear(torch::ones({1, 2})).sum().backward();
  optimizer.step();
  return linear->weight.equal(torch::tensor({{-5.f, -4.f}, {-4.f, -5.f}})) ? 0 : 1;
}
