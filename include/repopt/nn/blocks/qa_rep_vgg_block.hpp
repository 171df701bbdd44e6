// QaRepVggBlock: RepVGG's branches with the batch norms that survive quantization.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/conv_bn_relu.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/blocks/rep_vgg_block.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// QARepVGG's block (arXiv 2212.01593): bn(bn_3x3(conv 3x3) + conv 1x1), then ReLU. If input and output have the same
/// shape, x itself is added before the outer batch norm; it has no weight. RepVGG has a batch norm in each branch and
/// none after the sum, and the article shows that its merged kernels lose accuracy in 8-bit integers.
template <class T>
class QaRepVggBlock final : public Block<T> {
 public:
  /// The branches' layers, and the batch norm after their sum, which includes the ReLU.
  /// @{
  Conv2d<T> conv_3x3;
  BatchNorm2d<T> bn_3x3;
  Conv2d<T> conv_1x1;
  BatchNorm2d<T> bn;
  /// @}

  /// `shape` is the shape of the 3x3 convolution, `shape_1x1` that of the 1x1 convolution.
  QaRepVggBlock(const ConvShape& shape, const ConvShape& shape_1x1, bool has_identity, bool requires_input_grad = true)
      : conv_3x3(shape),
        bn_3x3(shape.out_channels),
        conv_1x1(shape_1x1),
        bn(shape.out_channels, Activation::relu),
        has_identity_(has_identity) {
    conv_3x3.requires_input_grad = conv_1x1.requires_input_grad = requires_input_grad;
  }

  /// Whether x is added to the branches.
  bool has_identity() const { return has_identity_; }

  LazyTensor<T> forward(const LazyTensor<T>& lazy_x, Phase phase) override {
    const Tensor<T>& x = lazy_x.evaluate(x_);
    const ChannelMoments* const measured = measured_conv(conv_3x3, {x}, phase, moments_);
    bn_3x3.measure(conv_3x3.output(), phase, measured);
    conv_1x1.forward({x});
    Tensor<T>& sum = conv_1x1.output();  // no later pass needs the output of the 1x1 convolution alone
    for_each_pixel(sum, [&](std::size_t p) {
      sum.channels(p) += bn_3x3.normalised(p);
      if (has_identity_) sum.channels(p) += x.channels(p);
    });
    return bn.forward_lazily(sum, phase);
  }

  void backward(Tensor<T>& grad, GradScratch<T>& scratch) override {
    bn.backward(grad);
    auto& [of_1x1, of_3x3] = scratch;
    conv_1x1.backward(grad, of_1x1);
    conv_3x3.backward(bn_3x3.backward(grad, conv_3x3.output()), of_3x3);
    add_branch_gradients(grad, of_1x1, of_3x3, has_identity_);
  }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv_3x3.visit_parameters(prefix + ".conv_3x3", visit);
    bn_3x3.visit_parameters(prefix + ".bn_3x3", visit);
    conv_1x1.visit_parameters(prefix + ".conv_1x1", visit);
    bn.visit_parameters(prefix + ".bn", visit);
  }

  void visit_batch_norms(const std::function<void(BatchNorm2d<T>&)>& visit) override {
    visit(bn_3x3);
    visit(bn);
  }

  FusedConv<T> fused() const override {
    const ChannelAffine<T> inner = bn_3x3.eval_affine(), outer = bn.eval_affine();
    const ChannelAffine<T> scale_alone{outer.scale, Vector<T>::Zero(outer.scale.size())};
    const std::vector<T> ones(conv_3x3.shape().out_channels, T(1));
    std::vector<ConvAffine<T>> branches{{conv_3x3.shape(), conv_3x3.weight.value, composed(outer, inner)},
                                        {conv_1x1.shape(), conv_1x1.weight.value, scale_alone}};
    if (has_identity_) branches.push_back({ConvShape::depthwise_1x1(ones.size()), ones, scale_alone});
    return fuse<T>(conv_3x3.shape(), branches);
  }

 private:
  bool has_identity_;
  Tensor<T> x_;
  ChannelMoments moments_;  ///< moments of the 3x3 convolution's output
};

}  // namespace repopt::nn
