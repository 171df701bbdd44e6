// Conv2d: a convolution with its kernel.
#pragma once

#include <span>
#include <string>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/channel_moments.hpp"
#include "repopt/nn/engine/conv.hpp"
#include "repopt/nn/tensor.hpp"

namespace repopt::nn {

/// torch.nn.Conv2d without a bias. The kernel lies as (kh, kw, in_channels / groups, out_channels), HWIO.
template <class T>
class Conv2d {
 public:
  Parameter<T> weight;              ///< zero at first; see random.hpp
  bool requires_input_grad = true;  ///< a network's first layer does without
  ConvAlgorithm algorithm = ConvAlgorithm::fastest;

  /// Any layout in `shape` is replaced by HWIO. Throws std::invalid_argument for an impossible shape.
  explicit Conv2d(ConvShape shape) : shape_(shape) {
    shape_.layout = WeightLayout::hwio;
    shape_.validate();
    weight = Parameter<T>::kernel(shape_);
  }

  const ConvShape& shape() const { return shape_; }

  /// y = conv(x), (batch, height, width, out_channels). `x` must live until backward(). `moments`, if given, gets those
  /// of y. Throws std::invalid_argument if x does not fit.
  const Tensor<T>& forward(const Tensor<T>& x, ChannelMoments* moments = nullptr) {
    x_ = &x;
    conv_forward<T>(shape_, x, weight.value, y_, nullptr, moments, algorithm);
    return y_;
  }

  const Tensor<T>& output() const { return y_; }

  /// Adds to weight.grad; returns dL/dx, which is empty if requires_input_grad is false.
  Tensor<T>& backward(const Tensor<T>& grad_y) {
    conv_backward_weight<T>(shape_, *x_, grad_y, weight.grad, nullptr, algorithm);
    if (requires_input_grad) {
      grad_x_.resize(x_->shape());
      conv_backward_data<T>(shape_, grad_y, weight.value, grad_x_, algorithm);
    } else {
      grad_x_.resize({});
    }
    return grad_x_;
  }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) {
    visit(prefix + ".weight", weight);
  }

 private:
  ConvShape shape_;
  const Tensor<T>* x_ = nullptr;
  Tensor<T> y_, grad_x_;
};

}  // namespace repopt::nn
