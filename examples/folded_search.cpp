// Hyper-Search in a loop of your own, with the core alone. First a block of three branches is trained together with its
// scales. The block is folded, so the loop computes only one kernel. Then RepSgd trains a new kernel and uses the
// scales that were found as constants.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "repopt/optim/rep_optimizer.hpp"

constexpr std::size_t side = 16, pixels = side * side;  // pictures of 16 x 16, one channel
constexpr std::array<float, 9> sobel{-1, 0, 1, -2, 0, 2, -1, 0, 1};

/// Calls visit(input pixel, output pixel, tap) for a 3x3 convolution with padding 1.
void for_each_tap(auto visit) {
  for (std::size_t y = 0; y < side; ++y)
    for (std::size_t x = 0; x < side; ++x)
      for (std::size_t tap = 0; tap < 9; ++tap) {
        const std::size_t from_y = y + tap / 3 - 1, from_x = x + tap % 3 - 1;  // -1 wraps round, above `side`
        if (from_y < side && from_x < side) visit(from_y * side + from_x, y * side + x, tap);
      }
}

/// Returns the mean squared difference of conv(x, weight) and conv(x, sobel) for the picture x of `step`, and computes
/// grad = dL/dweight.
double loss_and_grad(int step, std::span<const float> weight, std::span<float> grad) {
  std::array<float, pixels> x{}, error{};
  for (std::size_t i = 0; i < pixels; ++i) x[i] = std::sin(float(i * i % 251) + 0.7f * float(step));
  for_each_tap(
      [&](std::size_t in, std::size_t out, std::size_t tap) { error[out] += x[in] * (weight[tap] - sobel[tap]); });
  for (float& g : grad) g = 0;
  for_each_tap([&](std::size_t in, std::size_t out, std::size_t tap) { grad[tap] += 2 * x[in] * error[out] / pixels; });
  double loss = 0;
  for (const float e : error) loss += double(e * e) / pixels;
  return loss;
}

int main() {
  using namespace repopt;
  const ConvShape conv3x3;  // 1 channel, 3x3, padding 1
  const ConvShape conv1x1{.kernel_size = {1, 1}, .padding = {0, 0}};
  const CslaBlock<float> start(conv3x3, {{conv3x3, 1.0f}, {conv1x1, 1.0f}, Branch<float>::identity(1)});
  const std::vector<float> w3x3{.1f, -.2f, .3f, .2f, .1f, -.1f, 0, .2f, -.3f}, w1x1{.4f}, w_identity{1};
  std::vector<float> weight(9), grad(9);

  // 1. Folded Hyper-Search: the optimizer trains the branches and their scales, and the loop computes one kernel.
  FoldedKernel<float> folded(start, {.train_scales = true});
  RepSgd<float> search;
  auto& decayed = search.add_param_group({.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-4});
  auto& scales = search.add_param_group({.lr = 0.02, .momentum = 0.9});
  folded.visit_parameters([&](const std::string& name, auto value, auto gradient, bool decays) {
    (decays ? decayed : scales).add_param(name, value, gradient);
  });
  for (std::size_t next = 0; const auto& parameter : folded.parameters())
    if (parameter.shape) std::ranges::copy(*std::array{&w3x3, &w1x1, &w_identity}[next++], parameter.value.begin());
  for (int step = 0; step <= 100; ++step) {
    folded.fold(weight);
    const double loss = loss_and_grad(step, weight, grad);
    if (step % 50 == 0) std::printf("search    step %3d  loss %.6f\n", step, loss);
    folded.zero_grad();
    folded.add_gradients(grad);
    search.step();
  }

  // 2. Training with the scales that were found. Both rules apply, and there are no branches any more.
  const CslaBlock<float> block = folded.block();
  for (const auto& branch : block.branches()) std::printf("scale %.3f\n", double(branch.scale[0]));
  block.equivalent_kernel({w3x3, w1x1, w_identity}, weight);
  RepSgd<float> training;
  training.add_param_group({.lr = 0.02, .momentum = 0.9}).add_param("conv.weight", weight, grad, block);
  for (int step = 0; step <= 100; ++step) {
    const double loss = loss_and_grad(step, weight, grad);
    if (step % 50 == 0) std::printf("training  step %3d  loss %.6f\n", step, loss);
    training.step();
  }
}
