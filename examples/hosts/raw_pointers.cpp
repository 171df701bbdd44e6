// Trains kernels in the buffers of another framework. Pictures are NHWC, kernels are OHWI or HWIO, and the biases lie
// behind the filters in the same buffer. The real branches train beside each kernel, and the program fails unless both
// compute the same outputs. It needs only repopt/core and repopt/optim.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/rep_optimizer.hpp"

using repopt::Branch, repopt::ConvShape, repopt::CslaBlock, repopt::WeightLayout;
using Numbers = std::vector<double>;

constexpr std::size_t in = 4, out = 4, height = 9, width = 8, pixels = height * width;
constexpr double momentum = 0.9;

/// Calls visit(index in x, index in y, index in weight) for each product of a convolution of stride 1. The loops know
/// the layout of `weight` only by its strides.
void for_each_product(const ConvShape& shape, auto visit) {
  const repopt::WeightIndex stride = shape.strides();
  for (std::size_t p = 0; p < pixels; ++p)
    for (std::size_t a = 0; a < shape.kernel_size[0]; ++a)
      for (std::size_t b = 0; b < shape.kernel_size[1]; ++b) {
        const std::size_t row = p / width + a - shape.padding[0], column = p % width + b - shape.padding[1];
        if (row >= height || column >= width) continue;  // a negative number wraps round to a large one
        for (std::size_t o = 0; o < out; ++o)
          for (std::size_t i = 0; i < shape.in_per_group(); ++i)
            visit((row * width + column) * in + (shape.groups == 1 ? i : o), p * out + o,
                  o * stride.out + i * stride.in + a * stride.row + b * stride.column);
      }
}

void add_conv(const ConvShape& shape, const double* weight, const double* x, double* y) {
  for_each_product(shape, [=](std::size_t from, std::size_t to, std::size_t w) { y[to] += weight[w] * x[from]; });
}

void add_conv_grad(const ConvShape& shape, const double* x, const double* grad_y, double* grad) {
  for_each_product(shape, [=](std::size_t from, std::size_t to, std::size_t w) { grad[w] += grad_y[to] * x[from]; });
}

/// The real branches. They compute y = sum_i s_i * conv(x, W_i).
struct Branches {
  const CslaBlock<double>& block;
  std::vector<Numbers> weights, grads = weights, states = weights;

  void forward(const Numbers& x, Numbers& y) const {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Numbers part(y.size());
      add_conv(block.branches()[i].shape, weights[i].data(), x.data(), part.data());
      for (std::size_t k = 0; k < y.size(); ++k) y[k] += block.branches()[i].scale[k % out] * part[k];
    }
  }
  void backward(const Numbers& x, const Numbers& grad_y) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      Numbers scaled = grad_y;
      for (std::size_t k = 0; k < scaled.size(); ++k) scaled[k] *= block.branches()[i].scale[k % out];
      grads[i].assign(grads[i].size(), 0);
      add_conv_grad(block.branches()[i].shape, x.data(), scaled.data(), grads[i].data());
    }
  }
};

/// A host's SGD, whose velocity includes lr. When lr changes, this differs from PyTorch's rule. It is also linear in
/// weight and gradient, so multiplying the gradient is exact for it, too.
void host_update(std::span<double> weight, std::span<const double> grad, std::span<double> velocity, double lr) {
  for (std::size_t k = 0; k < weight.size(); ++k) {
    velocity[k] = momentum * velocity[k] - lr * grad[k];
    weight[k] += velocity[k];
  }
}

/// torch.optim.SGD, whose momentum buffer does not include lr.
void torch_update(std::span<double> weight, std::span<const double> grad, std::span<double> buffer, double lr) {
  for (std::size_t k = 0; k < weight.size(); ++k) {
    buffer[k] = momentum * buffer[k] + grad[k];
    weight[k] -= lr * buffer[k];
  }
}

double pattern(std::size_t i) { return std::sin(double(i * i % 1009) + 0.3 * double(i)); }

/// RepVGG's block, with scales of both signs, for a kernel in `layout`.
CslaBlock<double> make_block(WeightLayout layout) {
  const ConvShape conv3x3{.in_channels = in, .out_channels = out, .layout = layout};
  const ConvShape conv1x1{.in_channels = in, .out_channels = out, .kernel_size = {1, 1}, .padding = {0, 0}};
  return {conv3x3, {{conv3x3, {0.8, -0.6, 1.1, 0.4}}, {conv1x1, {-0.7, 0.9, 0.5, -1.2}}, Branch<double>::identity(in)}};
}

/// Trains kernel and branches for 50 steps. The kernel starts by the Rule of Initialization. `params` and `grads` hold
/// the filters and then the biases. step(lr) updates `params`, and `branch_update` is the same rule for the branches.
/// Returns the largest difference of the outputs, which are about 1.
double train(const CslaBlock<double>& block, Numbers& params, Numbers& grads, auto step, auto branch_update) {
  const std::size_t filters = block.target().size();
  Branches branches{block, {}};
  std::vector<std::span<const double>> spans;
  for (const Branch<double>& branch : block.branches()) {
    Numbers& weight = branches.weights.emplace_back(branch.shape.size(), 1.0);  // an identity starts at 1
    if (branch.shape.groups == 1)
      for (std::size_t k = 0; k < weight.size(); ++k) weight[k] = 0.3 * pattern(k + weight.size());
  }
  branches.grads = branches.weights;
  branches.states.clear();
  for (const Numbers& weight : branches.weights) {
    spans.push_back(weight);
    branches.states.emplace_back(weight.size());
  }
  block.equivalent_kernel(spans, std::span(params).first(filters));
  Numbers bias(out), bias_grad(out), bias_state(out);

  double largest = 0;
  for (std::size_t t = 0; t < 50; ++t) {
    Numbers x(pixels * in), ours(pixels * out), theirs(pixels * out), grad_ours(ours.size()), grad_theirs(ours.size());
    for (std::size_t k = 0; k < x.size(); ++k) x[k] = pattern(k + 7 * t);
    add_conv(block.target(), params.data(), x.data(), ours.data());
    branches.forward(x, theirs);
    grads.assign(grads.size(), 0);
    bias_grad.assign(out, 0);
    for (std::size_t k = 0; k < ours.size(); ++k) {
      ours[k] += params[filters + k % out];
      theirs[k] += bias[k % out];
      largest = std::max(largest, std::abs(ours[k] - theirs[k]));
      const double wanted = pattern(3 * k + t);  // the loss is the mean of (y - wanted)^2 / 2
      grads[filters + k % out] += grad_ours[k] = (ours[k] - wanted) / double(pixels);
      bias_grad[k % out] += grad_theirs[k] = (theirs[k] - wanted) / double(pixels);
    }
    add_conv_grad(block.target(), x.data(), grad_ours.data(), grads.data());
    branches.backward(x, grad_theirs);

    const double lr = t < 25 ? 0.05 : 0.02;
    step(lr);
    for (std::size_t i = 0; i < branches.weights.size(); ++i)
      branch_update(branches.weights[i], branches.grads[i], branches.states[i], lr);
    branch_update(bias, bias_grad, bias_state, lr);
  }
  return largest;
}

/// Trains an HWIO kernel by repopt's optimizer. Filters and biases are two parameters in one buffer.
double hwio_with_rep_sgd() {
  const CslaBlock<double> block = make_block(WeightLayout::hwio);
  const std::size_t filters = block.target().size();
  Numbers params(filters + out), grads(filters + out);
  repopt::RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.05, .momentum = momentum});
  group.add_param("conv.weight", std::span(params).first(filters), std::span(grads).first(filters), block);
  group.add_param("conv.bias", std::span(params).subspan(filters), std::span(grads).subspan(filters));
  const auto step = [&](double lr) {
    optimizer.set_lr(lr);
    optimizer.step();
  };
  return train(block, params, grads, step, torch_update);
}

/// Trains an OHWI kernel by the host's own optimizer, which gets a copy of the gradient whose filters are multiplied.
double ohwi_with_host_update() {
  const CslaBlock<double> block = make_block(WeightLayout::ohwi);
  const std::size_t filters = block.target().size();
  Numbers params(filters + out), grads(filters + out), velocity(filters + out);
  const auto step = [&](double lr) {
    Numbers multiplied = grads;
    const std::span<double> of_filters = std::span(multiplied).first(filters);
    repopt::multiply_gradient<double>(block, of_filters, of_filters);
    host_update(params, multiplied, velocity, lr);
  };
  return train(block, params, grads, step, host_update);
}

int main() {
  const double hwio = hwio_with_rep_sgd(), ohwi = ohwi_with_host_update();
  std::printf("HWIO, RepSgd                  largest difference from the branches %.1e\n", hwio);
  std::printf("OHWI, the host's own update   largest difference from the branches %.1e\n", ohwi);
  return hwio < 1e-12 && ohwi < 1e-12 ? 0 : 1;
}
