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

/// torch.nn.Conv2d without a bias. The kernel lies as (kh, kw, in_channels / groups, out_channels), HWIO.
template <class T>
class Conv2d {
 public:
  Parameter<T> weight;                               ///< zero at first; see init.hpp
  bool requires_input_grad = true;                   ///< a network's first layer does without
  ConvAlgorithm algorithm = ConvAlgorithm::fastest;  ///< of all three passes

  /// Any layout in `shape` is replaced by HWIO. Throws std::invalid_argument for an impossible shape.
  explicit Conv2d(ConvShape shape) : shape_(shape) {
    shape_.layout = WeightLayout::hwio;
    shape_.validate();
    weight = Parameter<T>::kernel(shape_);
  }

  /// As given, but HWIO.
  const ConvShape& shape() const { return shape_; }

  /// y = conv(x), (batch, height, width, out_channels). `x` must live until backward(). `moments`, if given, gets those
  /// of y. Throws std::invalid_argument if x does not fit.
  const Tensor<T>& forward(const LazyTensor<T>& x, ChannelMoments* moments = nullptr) {
    x_ = x;
    conv_forward<T>(shape_, *x.values, weight.value, y_, x.affine_or_null(), moments, algorithm);
    return y_;
  }

  /// y of the last forward pass. What follows may use its memory once it is not needed any more.
  Tensor<T>& output() { return y_; }

  /// Adds to weight.grad; returns dL/dx in `grad_x`, which is empty if requires_input_grad is false. For a lazy x it is
  /// the gradient of what was read.
  Tensor<T>& backward(const Tensor<T>& grad_y, Tensor<T>& grad_x) {
    require(x_.values != nullptr, "backward() needs a forward() before it");
    conv_backward_weight<T>(shape_, *x_.values, grad_y, weight.grad, x_.affine_or_null(), algorithm);
    grad_x.resize(requires_input_grad ? x_.shape() : ImageShape{});
    if (requires_input_grad) conv_backward_data<T>(shape_, grad_y, weight.value, grad_x, algorithm);
    return grad_x;
  }

  /// The same, in memory of its own.
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
