// Compares gradients with central differences.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "repopt/tensor/tensor.hpp"
#include "support/numeric_gradient.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/tensors.hpp"

namespace repopt::testing {

/// Returns the trained parameters of `layer`.
template <class Layer>
std::vector<nn::Parameter<double>*> trained_parameters(Layer& layer) {
  std::vector<nn::Parameter<double>*> trained;
  layer.visit_parameters("layer", [&](const std::string&, nn::Parameter<double>& parameter) {
    if (parameter.requires_grad) trained.push_back(&parameter);
  });
  return trained;
}

/// Returns the largest relative error of the gradients that backward() computes for L = sum r * forward() with random
/// r: the gradient of `x` and those of `parameters`. All parameters' gradients start at 0.5, which reveals a gradient
/// that is not added to.
inline double gradient_error(Random& random, nn::Tensor<double>& x,
                             const std::function<const nn::Tensor<double>&()>& forward,
                             const std::function<const nn::Tensor<double>&(nn::Tensor<double>& grad_y)>& backward,
                             const std::vector<nn::Parameter<double>*>& parameters = {}) {
  const nn::Tensor<double> r = random_tensor<double>(random, forward().shape());
  const auto loss = [&] { return (forward().matrix().array() * r.matrix().array()).sum(); };
  for (nn::Parameter<double>* parameter : parameters) std::ranges::fill(parameter->grad, 0.5);
  forward();
  nn::Tensor<double> grad_y = r;
  const nn::Tensor<double> grad_x = backward(grad_y);
  double error = relative_error(grad_x.values(), numeric_gradient(x.values(), loss));
  for (nn::Parameter<double>* parameter : parameters) {
    std::vector<double> expected = numeric_gradient(parameter->value, loss);
    for (double& gradient : expected) gradient += 0.5;
    error = std::max(error, relative_error(parameter->grad, expected));
  }
  return error;
}

}  // namespace repopt::testing
