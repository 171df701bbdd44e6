// Block: a part of a VGG-style network, which is a sequence of blocks.
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

/// The interface of a block: a convolution of any structure, followed by batch norm and ReLU.
template <class T>
class Block {
 public:
  virtual ~Block() = default;

  /// Computes the block's output. `x` must exist unchanged until backward(). The output is in the block's memory and is
  /// valid until the next call. Throws std::invalid_argument if the shape of `x` does not fit the block.
  virtual LazyTensor<T> forward(const LazyTensor<T>& x, Phase phase) = 0;

  /// Computes gradients after a forward pass in training: adds to the gradients of the parameters and replaces dL/dy in
  /// `grad` by dL/dx. dL/dx is empty if the block was built without input gradient. The pass may overwrite outputs that
  /// the forward pass stored, so each backward() needs its own forward() before it.
  virtual void backward(Tensor<T>& grad, GradScratch<T>& scratch) = 0;

  /// Visits parameters, constants and running statistics. Their names have the form "prefix.layer.weight".
  virtual void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) = 0;

  /// Visits the batch norms, if the block has any.
  virtual void visit_batch_norms(const std::function<void(BatchNorm2d<T>&)>&) {}

  /// The HWIO kernel of the plain convolution that computes the same as the block's CSLA branches. The target's kernel
  /// starts with it (arXiv 2205.15242, Rule of Initialization). Returns nothing if the block has no such branches.
  virtual std::optional<std::vector<T>> equivalent_kernel() const { return std::nullopt; }

  /// The convolution with bias that, followed by ReLU, computes the block's output in evaluation. Throws
  /// std::invalid_argument if a scale of the block is not finite.
  virtual FusedConv<T> fused() const = 0;
};

}  // namespace repopt::nn
