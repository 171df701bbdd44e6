// RepVggBlock: the prior structure with a batch norm in each branch.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/conv_bn_relu.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Writes dL/dx of a block into `grad`: the sum of the gradients that its 3x3 branch and its 1x1 branch compute for x.
/// With an identity, `grad` must hold the gradient that the identity computes for x, which is added to them. If the
/// branches compute no gradients for x, `grad` becomes empty.
template <class T>
void add_branch_gradients(Tensor<T>& grad, const Tensor<T>& of_1x1, const Tensor<T>& of_3x3, bool has_identity) {
  grad.resize(of_3x3.shape());
  for_each_pixel(grad, [&](std::size_t p) {
    if (has_identity)
      grad.channels(p) += of_1x1.channels(p) + of_3x3.channels(p);
    else
      grad.channels(p) = of_1x1.channels(p) + of_3x3.channels(p);
  });
}

/// RepVGG's block (arXiv 2101.03697): bn(conv 3x3) + bn(conv 1x1), plus bn(x) if input and output have the same shape,
/// then ReLU.
template <class T>
class RepVggBlock final : public Block<T> {
 public:
  /// The branches' layers.
  /// @{
  Conv2d<T> conv_3x3;
  BatchNorm2d<T> bn_3x3;
  Conv2d<T> conv_1x1;
  BatchNorm2d<T> bn_1x1;
  std::optional<BatchNorm2d<T>> bn_identity;
  /// @}

  /// `shape` is the shape of the 3x3 convolution, `shape_1x1` that of the 1x1 convolution.
  RepVggBlock(const ConvShape& shape, const ConvShape& shape_1x1, bool has_identity, bool requires_input_grad = true)
      : conv_3x3(shape), bn_3x3(shape.out_channels), conv_1x1(shape_1x1), bn_1x1(shape.out_channels) {
    if (has_identity) bn_identity.emplace(shape.out_channels);
    conv_3x3.requires_input_grad = conv_1x1.requires_input_grad = requires_input_grad;
  }

  LazyTensor<T> forward(const LazyTensor<T>& lazy_x, Phase phase) override {
    const Tensor<T>& x = lazy_x.evaluate(x_);
    const ChannelMoments* measured = measured_conv(conv_3x3, {x}, phase, moments_);
    bn_3x3.measure(conv_3x3.output(), phase, measured);
    measured = measured_conv(conv_1x1, {x}, phase, moments_);
    bn_1x1.measure(conv_1x1.output(), phase, measured);
    if (bn_identity) bn_identity->measure(x, phase);
    y_.resize(conv_3x3.output().shape());
    for_each_pixel(y_, [&](std::size_t p) {
      auto y = y_.channels(p);
      y = bn_3x3.normalised(p) + bn_1x1.normalised(p);
      if (bn_identity) y += bn_identity->normalised(p);
      y = (y < T(0)).select(T(0), y);  // keeps NaN
    });
    return y_;
  }

  void backward(Tensor<T>& grad, GradScratch<T>& scratch) override {
    require(y_.size() > 0, "backward() needs a forward() before it");
    require_grad_shape(grad.shape(), y_.shape());
    for_each_pixel(grad,
                   [&](std::size_t p) { grad.channels(p) = (y_.channels(p) > T(0)).select(grad.channels(p), T(0)); });
    auto& [of_1x1, of_3x3] = scratch;
    conv_1x1.backward(bn_1x1.backward(grad, conv_1x1.output()), of_1x1);
    conv_3x3.backward(bn_3x3.backward(grad, conv_3x3.output()), of_3x3);
    if (bn_identity) bn_identity->backward(grad);
    add_branch_gradients(grad, of_1x1, of_3x3, bn_identity.has_value());
  }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv_3x3.visit_parameters(prefix + ".conv_3x3", visit);
    bn_3x3.visit_parameters(prefix + ".bn_3x3", visit);
    conv_1x1.visit_parameters(prefix + ".conv_1x1", visit);
    bn_1x1.visit_parameters(prefix + ".bn_1x1", visit);
    if (bn_identity) bn_identity->visit_parameters(prefix + ".bn_identity", visit);
  }

  void visit_batch_norms(const std::function<void(BatchNorm2d<T>&)>& visit) override {
    visit(bn_3x3);
    visit(bn_1x1);
    if (bn_identity) visit(*bn_identity);
  }

  FusedConv<T> fused() const override {
    const std::vector<T> ones(conv_3x3.shape().out_channels, T(1));
    std::vector<ConvAffine<T>> branches{{conv_3x3.shape(), conv_3x3.weight.value, bn_3x3},
                                        {conv_1x1.shape(), conv_1x1.weight.value, bn_1x1}};
    if (bn_identity) branches.push_back({ConvShape::depthwise_1x1(ones.size()), ones, *bn_identity});
    return fuse<T>(conv_3x3.shape(), branches);
  }

 private:
  Tensor<T> x_, y_;
  ChannelMoments moments_;  ///< moments of the convolution that was computed last
};

}  // namespace repopt::nn
