// Scale: one factor for each channel.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_sums.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Computes y[c] = weight[c] * x[c]. It is the constant scale at the end of a CSLA block's branch, the trained scale of
/// Hyper-Search, or, trained and without a convolution, the block's identity.
template <class T>
class Scale {
 public:
  Parameter<T> weight;  ///< (channels)

  /// A `trained` scale has a gradient, a constant one has none.
  Scale(std::vector<T> scale, bool trained) : weight(Parameter<T>::vector(scale.size(), T(1))) {
    weight.value = std::move(scale);
    weight.requires_grad = trained;
    if (!trained) weight.grad.clear();
  }

  /// Returns y. `x` must exist until backward(). Throws std::invalid_argument if the number of channels does not match.
  const Tensor<T>& forward(const Tensor<T>& x) {
    require(x.shape().channels == weight.value.size(), "the images have ", x.shape().channels, " channels, scale has ",
            weight.value.size(), " elements");
    x_ = &x;
    scale_into(y_, x);
    return y_;
  }

  /// Adds to weight.grad if it is trained. Computes dL/dx in `grad_x`. Throws std::invalid_argument if grad_y has
  /// another shape than the output.
  Tensor<T>& backward(const Tensor<T>& grad_y, Tensor<T>& grad_x) {
    require(x_ != nullptr, "backward() needs a forward() before it");
    require_grad_shape(grad_y.shape(), x_->shape());
    if (weight.requires_grad) {
      namespace packet = Eigen::internal;
      const auto [sum] = channel_sums<1>(grad_y, [&]<class Packet>(std::size_t p, std::size_t c, Packet* sums) {
        sums[0] = packet::pmadd(packet::ploadu<Packet>(grad_y.pixel(p) + c), packet::ploadu<Packet>(x_->pixel(p) + c),
                                sums[0]);
      });
      for (std::size_t c = 0; c < weight.grad.size(); ++c) weight.grad[c] += T(sum[Eigen::Index(c)]);
    }
    scale_into(grad_x, grad_y);
    return grad_x;
  }

  /// The same, in memory of this layer.
  Tensor<T>& backward(const Tensor<T>& grad_y) { return backward(grad_y, grad_x_); }

  /// Visits `prefix`.weight.
  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) {
    visit(prefix + ".weight", weight);
  }

 private:
  void scale_into(Tensor<T>& to, const Tensor<T>& from) const {
    to.resize(from.shape());
    const Eigen::Map<const Vector<T>> scale(weight.value.data(), Eigen::Index(weight.value.size()));
    for_each_pixel(from, [&](std::size_t p) { to.channels(p) = scale * from.channels(p); });
  }

  const Tensor<T>* x_ = nullptr;
  Tensor<T> y_, grad_x_;
};

}  // namespace repopt::nn
