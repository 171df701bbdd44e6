// OwnBlock: a block like one that a user of the library would write.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::testing {

/// A 1x1 convolution, batch norm and ReLU.
template <class T>
class OwnBlock final : public nn::Block<T> {
 public:
  nn::Conv2d<T> pointwise;
  nn::BatchNorm2d<T> norm;
  std::optional<std::vector<T>> kernel;  ///< the result of equivalent_kernel()

  explicit OwnBlock(const nn::BlockSpec& spec)
      : pointwise(spec.shape_1x1()), norm(spec.shape.out_channels, nn::Activation::relu) {
    pointwise.requires_input_grad = spec.requires_input_grad();
    pointwise.algorithm = spec.algorithm;
  }

  nn::LazyTensor<T> forward(const nn::LazyTensor<T>& x, nn::Phase phase) override {
    pointwise.forward(x);
    return norm.forward_lazily(pointwise.output(), phase);
  }

  void backward(nn::Tensor<T>& grad, nn::GradScratch<T>&) override {
    pointwise.backward(norm.backward(grad, pointwise.output()), grad);
  }

  void visit_parameters(const std::string& prefix, const nn::ParameterVisitor<T>& visit) override {
    pointwise.visit_parameters(prefix + ".pointwise", visit);
    norm.visit_parameters(prefix + ".norm", visit);
  }

  void visit_batch_norms(const std::function<void(nn::BatchNorm2d<T>&)>& visit) override { visit(norm); }

  std::optional<std::vector<T>> equivalent_kernel() const override { return kernel; }

  nn::FusedConv<T> fused() const override {
    return nn::fuse<T>(pointwise.shape(), {{pointwise.shape(), pointwise.weight.value, norm}});
  }
};

}  // namespace repopt::testing
