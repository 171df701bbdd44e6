// Relu: max(x, 0), in place.
#pragma once

#include <cstddef>

#include "repopt/base/error.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// ReLU in place: torch.nn.ReLU(inplace=True).
template <class T>
class Relu {
 public:
  /// Overwrites `x` by max(x, 0) and returns it. `x` must exist unchanged until backward(). NaN stays NaN.
  const Tensor<T>& forward(Tensor<T>& x) {
    y_ = &x;
    for_each_pixel(x, [&](std::size_t p) {
      auto y = x.channels(p);
      y = (y < T(0)).select(T(0), y);
    });
    return x;
  }

  /// Computes dL/dx in the memory of `grad_y`. Throws std::invalid_argument if grad_y has another shape than the
  /// output.
  Tensor<T>& backward(Tensor<T>& grad_y) const {
    require(y_ != nullptr, "backward() needs a forward() before it");
    require_grad_shape(grad_y.shape(), y_->shape());
    for_each_pixel(grad_y, [&](std::size_t p) {
      auto grad = grad_y.channels(p);
      grad = (y_->channels(p) > T(0)).select(grad, T(0));
    });
    return grad_y;
  }

 private:
  const Tensor<T>* y_ = nullptr;
};

}  // namespace repopt::nn
