// RepVggBlock: the prior structure with its batch norms.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/batch_norm.hpp"
#include "repopt/nn/block.hpp"
#include "repopt/nn/conv2d.hpp"
#include "repopt/nn/conv_bn_relu.hpp"
#include "repopt/nn/fused_conv.hpp"
#include "repopt/nn/relu.hpp"

namespace repopt::nn {

/// RepVGG's block (arXiv 2101.03697): bn(conv 3x3) + bn(conv 1x1) + bn(x) where input and output have one shape, then
/// ReLU.
template <class T>
class RepVggBlock final : public Block<T> {
 public:
  Conv2d<T> conv_3x3;
  BatchNorm2d<T> bn_3x3;
  Conv2d<T> conv_1x1;
  BatchNorm2d<T> bn_1x1;
  std::optional<BatchNorm2d<T>> bn_identity;

  /// `shape` is the 3x3 convolution's.
  RepVggBlock(const ConvShape& shape, const ConvShape& shape_1x1, bool has_identity, bool requires_input_grad = true)
      : conv_3x3(shape), bn_3x3(shape.out_channels), conv_1x1(shape_1x1), bn_1x1(shape.out_channels) {
    if (has_identity) bn_identity.emplace(shape.out_channels);
    conv_3x3.requires_input_grad = conv_1x1.requires_input_grad = requires_input_grad;
  }

  LazyTensor<T> forward(const LazyTensor<T>& lazy_x, Phase phase) override {
    const Tensor<T>& x = lazy_x.evaluate(x_);
    const Tensor<T>& a = conv_bn(conv_3x3, bn_3x3, {x}, phase);
    const Tensor<T>& b = conv_bn(conv_1x1, bn_1x1, {x}, phase);
    const Tensor<T>* c = bn_identity ? &bn_identity->forward(x, phase) : nullptr;
    y_.resize(a.shape());
    for_each_pixel(a, [&](std::size_t p) {
      y_.channels(p) = a.channels(p) + b.channels(p);
      if (c) y_.channels(p) += c->channels(p);
    });
    return relu_.forward(y_);
  }

  void backward(Tensor<T>& grad_y, Tensor<T>& grad_x, GradScratch<T>& scratch) override {
    relu_.backward(grad_y);
    auto& [grad_branch, part] = scratch;
    grad_branch = grad_y;
    conv_1x1.backward(bn_1x1.backward(grad_branch), grad_x);
    const auto add = [&](const Tensor<T>& grad) {
      for_each_pixel(grad_x, [&](std::size_t p) { grad_x.channels(p) += grad.channels(p); });
    };
    if (bn_identity) {
      grad_branch = grad_y;
      add(bn_identity->backward(grad_branch));
    }
    add(conv_3x3.backward(bn_3x3.backward(grad_y), part));
  }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv_3x3.visit_parameters(prefix + ".conv_3x3", visit);
    bn_3x3.visit_parameters(prefix + ".bn_3x3", visit);
    conv_1x1.visit_parameters(prefix + ".conv_1x1", visit);
    bn_1x1.visit_parameters(prefix + ".bn_1x1", visit);
    if (bn_identity) bn_identity->visit_parameters(prefix + ".bn_identity", visit);
  }

  FusedConv<T> fused() const override {
    const std::vector<T> ones(conv_3x3.shape().out_channels, T(1));
    std::vector<ConvBn<T>> branches{{conv_3x3.shape(), conv_3x3.weight.value, bn_3x3},
                                    {conv_1x1.shape(), conv_1x1.weight.value, bn_1x1}};
    if (bn_identity) branches.push_back({ConvShape::depthwise_1x1(ones.size()), ones, *bn_identity});
    return fuse<T>(conv_3x3.shape(), branches);
  }

 private:
  Relu<T> relu_;
  Tensor<T> x_, y_;
};

}  // namespace repopt::nn
