// GlobalAveragePooling: the mean of each channel of an image.
#pragma once

#include <cstddef>

#include "repopt/base/error.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Global average pooling: torch.nn.AdaptiveAvgPool2d(1).
template <class T>
class GlobalAveragePooling {
 public:
  /// Returns the means. Shapes are (batch, height, width, channels) -> (batch, 1, 1, channels).
  const Tensor<T>& forward(const LazyTensor<T>& lazy_x) {
    const Tensor<T>& x = lazy_x.evaluate(x_);
    x_shape_ = x.shape();
    y_.resize({x_shape_.batch, 1, 1, x_shape_.channels});
    parallel_for(x_shape_.batch, x.size(), [&](std::size_t n) {
      auto y = y_.channels(n);
      y.setZero();
      for (std::size_t p = 0; p < area(); ++p) y += x.channels(n * area() + p);
      y /= T(area());
    });
    return y_;
  }

  /// Computes dL/dx in `grad_x`. Throws std::invalid_argument if grad_y has another shape than the output.
  Tensor<T>& backward(const Tensor<T>& grad_y, Tensor<T>& grad_x) const {
    require_grad_shape(grad_y.shape(), y_.shape());
    grad_x.resize(x_shape_);
    for_each_pixel(grad_x, [&](std::size_t p) { grad_x.channels(p) = grad_y.channels(p / area()) / T(area()); });
    return grad_x;
  }

 private:
  std::size_t area() const { return x_shape_.height * x_shape_.width; }

  ImageShape x_shape_;
  Tensor<T> x_, y_;
};

}  // namespace repopt::nn
