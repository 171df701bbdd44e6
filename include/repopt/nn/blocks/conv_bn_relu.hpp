// ConvBnRelu: the target structure's block.
#pragma once

#include <functional>
#include <string>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Computes conv(x) and returns the moments of the output that the batch norm needs, or null in evaluation. The
/// convolution measures them while its output is in the cache.
template <class T>
const ChannelMoments* measured_conv(Conv2d<T>& conv, const LazyTensor<T>& x, Phase phase, ChannelMoments& moments) {
  conv.forward(x, phase == Phase::train ? &moments : nullptr);
  return phase == Phase::train ? &moments : nullptr;
}

/// A convolution, batch norm and ReLU. Only the convolution's output is stored: the next block applies batch norm and
/// ReLU when it reads it.
template <class T>
class ConvBnRelu final : public Block<T> {
 public:
  Conv2d<T> conv;     ///< without a bias
  BatchNorm2d<T> bn;  ///< includes the ReLU

  /// Throws std::invalid_argument if the shape is impossible.
  explicit ConvBnRelu(const ConvShape& shape, bool requires_input_grad = true)
      : conv(shape), bn(shape.out_channels, Activation::relu) {
    conv.requires_input_grad = requires_input_grad;
  }

  LazyTensor<T> forward(const LazyTensor<T>& x, Phase phase) override {
    const ChannelMoments* const measured = measured_conv(conv, x, phase, moments_);
    return bn.forward_lazily(conv.output(), phase, measured);
  }

  void backward(Tensor<T>& grad, GradScratch<T>&) override { conv.backward(bn.backward(grad, conv.output()), grad); }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv.visit_parameters(prefix + ".conv", visit);
    bn.visit_parameters(prefix + ".bn", visit);
  }

  void visit_batch_norms(const std::function<void(BatchNorm2d<T>&)>& visit) override { visit(bn); }

  FusedConv<T> fused() const override { return fuse<T>(conv.shape(), {{conv.shape(), conv.weight.value, bn}}); }

 private:
  ChannelMoments moments_;
};

}  // namespace repopt::nn
