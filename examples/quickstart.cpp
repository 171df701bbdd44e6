// Gradient Re-parameterization in a loop of your own: a 3x3 kernel learns the Sobel filter and trains like a block of
// three branches. The program needs only repopt/core and repopt/optim.
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"

constexpr std::size_t size = 16;  // pictures of 16 x 16, one channel

/// Calls visit(input pixel, output pixel, tap) for a 3x3 convolution with padding 1.
void for_each_tap(auto visit) {
  for (std::size_t y = 0; y < size; ++y)
    for (std::size_t x = 0; x < size; ++x)
      for (std::size_t tap = 0; tap < 9; ++tap) {
        const std::size_t from_y = y + tap / 3 - 1, from_x = x + tap % 3 - 1;  // -1 wraps round, above `size`
        if (from_y < size && from_x < size) visit(from_y * size + from_x, y * size + x, tap);
      }
}

int main() {
  using namespace repopt;
  // 1. The kernel shall train like this block: 0.8 * conv 3x3 - 0.5 * conv 1x1 + a trainable factor * x.
  const ConvShape conv3x3;  // 1 channel, 3x3, padding 1
  const ConvShape conv1x1{.kernel_size = {1, 1}, .padding = {0, 0}};
  const CslaBlock<float> block(conv3x3, {{conv3x3, 0.8f}, {conv1x1, -0.5f}, Branch<float>::identity(1)});

  // 2. Rule of Initialization: one kernel replaces the kernels of the branches.
  const std::vector<float> w3x3{.1f, -.2f, .3f, .2f, .1f, -.1f, 0, .2f, -.3f}, w1x1{.4f}, w_identity{1};
  std::vector<float> weight(9), grad(9);
  block.equivalent_kernel({w3x3, w1x1, w_identity}, weight);

  // 3. Rule of Iteration: the optimizer knows the block. It does not copy your weights and gradients.
  RepSgd<float> optimizer;
  optimizer.add_param_group({.lr = 0.05, .momentum = 0.9, .nesterov = true})
      .add_param("conv.weight", weight, grad, block);

  const std::array<float, 9> sobel{-1, 0, 1, -2, 0, 2, -1, 0, 1};
  std::vector<float> x(size * size), error(size * size);
  for (int step = 0; step <= 100; ++step) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(float(i * i % 251) + 0.7f * float(step));
    error.assign(error.size(), 0);
    grad.assign(grad.size(), 0);
    for_each_tap(
        [&](std::size_t in, std::size_t out, std::size_t tap) { error[out] += x[in] * (weight[tap] - sobel[tap]); });
    for_each_tap(
        [&](std::size_t in, std::size_t out, std::size_t tap) { grad[tap] += 2 * x[in] * error[out] / (size * size); });
    float loss = 0;
    for (const float e : error) loss += e * e / (size * size);
    if (step % 20 == 0) std::printf("step %3d  loss %.6f\n", step, double(loss));
    optimizer.step();
  }
}
