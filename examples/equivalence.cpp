// Shows that kernel and block train alike. A block of three branches is trained branch by branch, and one kernel is
// trained by Gradient Re-parameterization, on the same data. Their outputs agree up to rounding at every iteration. A
// third network has a kernel whose multiplier is sum |s| instead of sum s^2. It starts equal and drifts away.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "repopt/base/random.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/csla_conv2d.hpp"
#include "repopt/nn/layers/init.hpp"
#include "repopt/optim/rep_optimizer.hpp"

using namespace repopt;
using repopt::nn::Tensor;

constexpr std::size_t channels = 8;
constexpr Sgd::Options options{.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3, .nesterov = true};

/// A kernel or a block of branches, with its optimizer.
template <class Layer>
struct Trained {
  Layer layer;
  RepSgd<double> optimizer;

  /// Trains one step on the loss sum (y^2 - 1)^2 / size, which draws each output towards 1 or -1. Returns the outputs.
  const Tensor<double>& step(const Tensor<double>& x) {
    layer.visit_parameters("", [](const std::string&, nn::Parameter<double>& p) { p.grad.assign(p.grad.size(), 0); });
    const Tensor<double>& y = layer.forward(x);
    Tensor<double> grad(y.shape());
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double value = y.values()[i];
      grad.values()[i] = 4 * value * (value * value - 1) / double(y.size());
    }
    layer.backward(grad);
    optimizer.step();
    return y;
  }
};

/// The block with scales sqrt(|s|), whose GradMult is sum |s|.
CslaBlock<double> with_wrong_multiplier(const CslaBlock<double>& block) {
  std::vector<Branch<double>> branches = block.branches();
  for (Branch<double>& branch : branches)
    for (double& s : branch.scale) s = std::sqrt(std::abs(s));
  return {block.target(), branches};
}

double largest_difference(const Tensor<double>& a, const Tensor<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a.values()[i] - b.values()[i]));
  return largest;
}

int main() {
  const ConvShape conv3x3{.in_channels = channels, .out_channels = channels};
  const ConvShape conv1x1{.in_channels = channels, .out_channels = channels, .kernel_size = {1, 1}, .padding = {0, 0}};
  std::vector<double> s(channels), t(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    s[c] = 0.3 + 0.1 * double(c);
    t[c] = c % 2 == 0 ? 0.8 : -0.6;  // scales may be negative
  }

  Trained<nn::CslaConv2d<double>> csla{nn::CslaConv2d<double>(conv3x3), {}};
  csla.layer.add_branch("conv_3x3", "scale_3x3", conv3x3, s, false);
  csla.layer.add_branch("conv_1x1", "scale_1x1", conv1x1, t, false);
  csla.layer.add_identity("scale_identity", std::vector<double>(channels, 1));
  auto& branches = csla.optimizer.add_param_group(options);
  csla.layer.visit_parameters("block", [&](const std::string& name, nn::Parameter<double>& p) {
    if (p.conv) nn::init_uniform(p, p.dims[1] * p.conv->taps(), 1, name);
    if (p.requires_grad) branches.add_param(name, p.value, p.grad);
  });

  Trained<nn::Conv2d<double>> gr{nn::Conv2d<double>(conv3x3), {}}, wrong{nn::Conv2d<double>(conv3x3), {}};
  gr.layer.weight.value = wrong.layer.weight.value = csla.layer.equivalent_kernel();
  gr.optimizer.add_param_group(options).add_param("kernel", gr.layer.weight.value, gr.layer.weight.grad,
                                                  csla.layer.block());
  wrong.optimizer.add_param_group(options).add_param("kernel", wrong.layer.weight.value, wrong.layer.weight.grad,
                                                     with_wrong_multiplier(csla.layer.block()));

  std::printf("iteration  output of the block  output of the kernel  difference  with a wrong multiplier\n");
  Tensor<double> x({4, 8, 8, channels});
  double largest = 0;
  for (int iteration = 0; iteration <= 50; ++iteration) {
    for (std::size_t i = 0; i < x.size(); ++i) x.values()[i] = 2 * to_uniform(random_bits(2, iteration, i)) - 1;
    const Tensor<double>&a = csla.step(x), &b = gr.step(x), &c = wrong.step(x);
    largest = std::max(largest, largest_difference(a, b));
    if (iteration % 5 == 0)
      std::printf("%9d  %19.15f  %20.15f  %10.1e  %23.1e\n", iteration, a.values()[0], b.values()[0],
                  largest_difference(a, b), largest_difference(a, c));
  }
  return largest < 1e-12 ? 0 : 1;
}
