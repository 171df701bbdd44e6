// Conv2d: a convolution with its kernel.
#pragma once

#include <span>
#include <string>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/conv.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// torch.nn.Conv2d without a bias. The kernel is HWIO: (kh, kw, in_channels / groups, out_channels).
template <class T>
class Conv2d {
 public:
  Parameter<T> weight;              ///< zero initially; see init.hpp
  bool requires_input_grad = true;  ///< whether backward() computes dL/dx; a network's first layer does not need it
  ConvAlgorithm algorithm = ConvAlgorithm::fastest;  ///< algorithm of all three passes

  /// The layout of `shape` is replaced by HWIO. Throws std::invalid_argument if the shape is impossible.
  explicit Conv2d(ConvShape shape) : shape_(shape) {
    shape_.layout = WeightLayout::hwio;
    shape_.validate();
    weight = Parameter<T>::kernel(shape_);
  }

  /// The given shape, in the layout HWIO.
  const ConvShape& shape() const { return shape_; }

  /// Returns y = conv(x), (batch, height, width, out_channels). `x` must exist until backward(). If `moments` is not
  /// null, it receives the moments of y. Throws std::invalid_argument if the shape of x does not fit.
  const Tensor<T>& forward(const LazyTensor<T>& x, ChannelMoments* moments = nullptr) {
    x_ = x;
    conv_forward<T>(shape_, *x.values, weight.value, y_, x.affine_or_null(), moments, algorithm);
    return y_;
  }

  /// The result of the last forward pass. Later layers may overwrite it when it is no longer needed.
  Tensor<T>& output() { return y_; }

  /// Adds to weight.grad. Computes dL/dx in `grad_x`, which becomes empty if requires_input_grad is false. For a lazy
  /// x, dL/dx is the gradient of the numbers that the convolution read.
  Tensor<T>& backward(const Tensor<T>& grad_y, Tensor<T>& grad_x) {
    require(x_.values != nullptr, "backward() needs a forward() before it");
    conv_backward_weight<T>(shape_, *x_.values, grad_y, weight.grad, x_.affine_or_null(), algorithm);
    grad_x.resize(requires_input_grad ? x_.shape() : ImageShape{});
    if (requires_input_grad) conv_backward_data<T>(shape_, grad_y, weight.value, grad_x, algorithm);
    return grad_x;
  }

  /// The same, in memory of this layer.
  Tensor<T>& backward(const Tensor<T>& grad_y) { return backward(grad_y, grad_x_); }

  /// Visits `prefix`.weight.
  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) {
    visit(prefix + ".weight", weight);
  }

 private:
  ConvShape shape_;
  LazyTensor<T> x_;
  Tensor<T> y_, grad_x_;
};

}  // namespace repopt::nn
