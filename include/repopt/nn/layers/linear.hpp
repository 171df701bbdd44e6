// Linear: a fully connected layer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// torch.nn.Linear: y = x * weight^T + bias.
template <class T>
class Linear {
 public:
  Parameter<T> weight;  ///< (out_features, in_features); decays
  Parameter<T> bias;    ///< (out_features)

  /// Both parameters are zero initially; see init.hpp.
  Linear(std::size_t in_features, std::size_t out_features)
      : weight{.dims = {out_features, in_features},
               .conv = std::nullopt,
               .decays = true,
               .value = std::vector<T>(out_features * in_features),
               .grad = std::vector<T>(out_features * in_features)},
        bias(Parameter<T>::vector(out_features, T(0))) {}

  /// Returns y. Shapes are (batch, 1, 1, in_features) -> (batch, 1, 1, out_features). `x` must exist until backward().
  /// Throws std::invalid_argument if x has another number of features.
  const Tensor<T>& forward(const Tensor<T>& x) {
    require(x.shape().channels == weight.dims[1], "the input has ", x.shape().channels, " features, in_features is ",
            weight.dims[1]);
    x_ = &x;
    y_.resize({x.shape().batch, x.shape().height, x.shape().width, weight.dims[0]});
    y_.matrix().noalias() = x.matrix() * weights(weight.value.data()).transpose();
    for_each_pixel(y_, [&](std::size_t p) {
      y_.channels(p) += Eigen::Map<const Vector<T>>(bias.value.data(), Eigen::Index(bias.value.size()));
    });
    return y_;
  }

  /// Adds to weight.grad and bias.grad; returns dL/dx. Throws std::invalid_argument if grad_y has another shape than
  /// the output.
  Tensor<T>& backward(const Tensor<T>& grad_y) {
    require(x_ != nullptr, "backward() needs a forward() before it");
    require_grad_shape(grad_y.shape(), y_.shape());
    weights(weight.grad.data()).noalias() += grad_y.matrix().transpose() * x_->matrix();
    for (std::size_t p = 0; p < grad_y.shape().pixels(); ++p)
      Eigen::Map<Vector<T>>(bias.grad.data(), Eigen::Index(bias.grad.size())) += grad_y.channels(p);
    grad_x_.resize(x_->shape());
    grad_x_.matrix().noalias() = grad_y.matrix() * weights(weight.value.data());
    return grad_x_;
  }

  /// Visits `prefix`.weight and `prefix`.bias.
  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) {
    visit(prefix + ".weight", weight);
    visit(prefix + ".bias", bias);
  }

 private:
  auto weights(T* values) const { return matrix(values, weight.dims[0], weight.dims[1], weight.dims[1]); }

  const Tensor<T>* x_ = nullptr;
  Tensor<T> y_, grad_x_;
};

}  // namespace repopt::nn
