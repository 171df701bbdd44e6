// Block: what a VGG-style network is a sequence of.
#pragma once

#include <string>

#include "repopt/nn/tensor.hpp"

namespace repopt::nn {

/// A convolution of some structure, batch norm and ReLU.
template <class T>
class Block {
 public:
  virtual ~Block() = default;

  /// `x` must live, unchanged, until backward(). Throws std::invalid_argument if it does not fit.
  virtual const Tensor<T>& forward(const Tensor<T>& x, Phase phase) = 0;

  /// For a forward pass in training: adds to the gradients of the parameters and returns dL/dx, which is empty if the
  /// block was built without input gradient. Overwrites `grad_y`.
  virtual Tensor<T>& backward(Tensor<T>& grad_y) = 0;

  /// Visits parameters, constants and running statistics, named "prefix.layer.weight".
  virtual void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) = 0;
};

}  // namespace repopt::nn
