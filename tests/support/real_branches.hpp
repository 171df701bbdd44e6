// RealBranches: a block of branches that may have several layers each. Every layer is computed and trained separately.
// It is the reference for folded training, so it uses neither embed nor fold nor a kernel for the whole block.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "support/naive_conv.hpp"
#include "support/torch_optim.hpp"

namespace repopt::testing {

/// Returns dL/dx of a convolution, from its OIHW kernel and dL/dy.
template <class T>
Images<T> conv_data_grad(const ConvShape& shape, const Images<T>& x, const std::vector<T>& weight,
                         const Images<T>& grad_y) {
  Images<T> grad{x.n, x.channels, x.height, x.width};
  for_each_product(shape, x, grad_y, [&](std::size_t from, std::size_t w, std::size_t to) {
    grad.data[from] += weight[w] * grad_y.data[to];
  });
  return grad;
}

/// A layer of a branch.
template <class T>
struct RealLayer {
  enum class Kind { trained, fixed, average };

  Kind kind = Kind::trained;
  ConvShape shape;       ///< shape of a convolution, or of the windows of torch.nn.AvgPool2d(count_include_pad=True)
  TorchParam<T> weight;  ///< OIHW; a fixed convolution never uses its grad, and pooling has no weight

  Images<T> forward(const Images<T>& x) const {
    if (kind != Kind::average) return conv(shape, x, weight.data);
    Images<T> sum = conv(per_channel(), x, std::vector<T>(x.channels * shape.taps(), T(1)));
    for (T& value : sum.data) value /= T(shape.taps());
    return sum;
  }

  /// Adds to the weight's gradient and returns dL/dx.
  Images<T> backward(const Images<T>& x, Images<T> grad_y) {
    if (kind == Kind::average) {
      for (T& value : grad_y.data) value /= T(shape.taps());
      return conv_data_grad(per_channel(), x, std::vector<T>(x.channels * shape.taps(), T(1)), grad_y);
    }
    if (kind == Kind::trained) {
      const std::vector<T> grad = conv_weight_grad(shape, x, grad_y);
      for (std::size_t k = 0; k < grad.size(); ++k) weight.grad[k] += grad[k];
    }
    return conv_data_grad(shape, x, weight.data, grad_y);
  }

 private:
  ConvShape per_channel() const {
    ConvShape windows = shape;
    windows.groups = windows.in_channels;
    return windows;
  }
};

/// A branch: scale * layers(x).
template <class T>
struct RealBranch {
  std::vector<RealLayer<T>> layers;
  TorchParam<T> scale;
  bool trains_scale = false;
};

/// The block: y = sum of the branches.
template <class T>
struct RealBranches {
  std::vector<RealBranch<T>> branches;

  Images<T> forward(const Images<T>& x) const {
    Images<T> y;
    for (const RealBranch<T>& branch : branches) {
      Images<T> part = x;
      for (const RealLayer<T>& layer : branch.layers) part = layer.forward(part);
      for (std::size_t k = 0; k < part.data.size(); ++k) part.data[k] *= branch.scale.data[part.channel_of(k)];
      if (y.data.empty()) y = {part.n, part.channels, part.height, part.width};
      for (std::size_t k = 0; k < y.data.size(); ++k) y.data[k] += part.data[k];
    }
    return y;
  }

  /// Adds to the gradients of all parameters.
  void backward(const Images<T>& x, const Images<T>& grad_y) {
    for (RealBranch<T>& branch : branches) {
      std::vector<Images<T>> inputs{x};
      for (const RealLayer<T>& layer : branch.layers) inputs.push_back(layer.forward(inputs.back()));
      Images<T> grad = grad_y;
      for (std::size_t k = 0; k < grad.data.size(); ++k) {
        const std::size_t c = grad.channel_of(k);
        branch.scale.grad[c] += grad.data[k] * inputs.back().data[k];
        grad.data[k] *= branch.scale.data[c];
      }
      for (std::size_t i = branch.layers.size(); i-- > 0;) grad = branch.layers[i].backward(inputs[i], grad);
    }
  }

  /// Calls visit(parameter, decays) for every trained parameter. `decays` says whether weight decay applies.
  void visit_parameters(auto visit) {
    for (RealBranch<T>& branch : branches) {
      for (RealLayer<T>& layer : branch.layers)
        if (layer.kind == RealLayer<T>::Kind::trained) visit(layer.weight, true);
      if (branch.trains_scale) visit(branch.scale, false);
    }
  }

  void zero_grad() {
    for (RealBranch<T>& branch : branches) {
      for (RealLayer<T>& layer : branch.layers) std::ranges::fill(layer.weight.grad, T(0));
      std::ranges::fill(branch.scale.grad, T(0));
    }
  }
};

}  // namespace repopt::testing
