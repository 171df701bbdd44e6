// Block: what a VGG-style network is a sequence of.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// A convolution of some structure, batch norm and ReLU.
template <class T>
class Block {
 public:
  virtual ~Block() = default;

  /// `x` must live, unchanged, until backward(); the output lives in the block until the next call. Throws
  /// std::invalid_argument if it does not fit.
  virtual LazyTensor<T> forward(const LazyTensor<T>& x, Phase phase) = 0;

  /// For a forward pass in training: adds to the gradients of the parameters and replaces dL/dy in `grad` by dL/dx,
  /// which is empty if the block was built without input gradient. Outputs that the forward pass stored serve as memory
  /// once they are not needed any more: the next backward() needs a forward() before it.
  virtual void backward(Tensor<T>& grad, GradScratch<T>& scratch) = 0;

  /// Visits parameters, constants and running statistics, named "prefix.layer.weight".
  virtual void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) = 0;

  /// Visits the batch norms, if the block has any.
  virtual void visit_batch_norms(const std::function<void(BatchNorm2d<T>&)>&) {}

  /// The kernel, HWIO, of the plain convolution that computes the same as the block's CSLA branches: where the target's
  /// kernel starts (arXiv 2205.15242, Rule of Initialization). Nothing if the block has no such branches.
  virtual std::optional<std::vector<T>> equivalent_kernel() const { return std::nullopt; }

  /// The one convolution with bias that, with ReLU after it, computes the same in evaluation. Throws
  /// std::invalid_argument if a scale of the block is not finite.
  virtual FusedConv<T> fused() const = 0;
};

}  // namespace repopt::nn
