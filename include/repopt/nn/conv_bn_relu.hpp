// ConvBnRelu: the target structure's block.
#pragma once

#include <string>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/batch_norm.hpp"
#include "repopt/nn/block.hpp"
#include "repopt/nn/channel_moments.hpp"
#include "repopt/nn/conv2d.hpp"

namespace repopt::nn {

/// bn(conv(x)); in training the convolution measures the batch's moments while its output is in the cache.
template <class T>
const Tensor<T>& conv_bn(Conv2d<T>& conv, BatchNorm2d<T>& bn, const Tensor<T>& x, Phase phase) {
  if (phase == Phase::eval) return bn.forward(conv.forward(x), phase);
  ChannelMoments moments;
  const Tensor<T>& y = conv.forward(x, &moments);
  return bn.forward(y, phase, &moments);
}

/// conv, bn, ReLU; the batch norm applies the ReLU on its way.
template <class T>
class ConvBnRelu final : public Block<T> {
 public:
  Conv2d<T> conv;
  BatchNorm2d<T> bn;

  explicit ConvBnRelu(const ConvShape& shape, bool requires_input_grad = true)
      : conv(shape), bn(shape.out_channels, Activation::relu) {
    conv.requires_input_grad = requires_input_grad;
  }

  const Tensor<T>& forward(const Tensor<T>& x, Phase phase) override { return conv_bn(conv, bn, x, phase); }

  Tensor<T>& backward(Tensor<T>& grad_y) override { return conv.backward(bn.backward(grad_y)); }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv.visit_parameters(prefix + ".conv", visit);
    bn.visit_parameters(prefix + ".bn", visit);
  }
};

}  // namespace repopt::nn
