// ConvBiasRelu: a deployed block, whose batch norm is folded into its convolution.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_sums.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/simd.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Computes relu(conv(x) + bias), in training and in evaluation. Only the convolution's output is stored: the next
/// block applies bias and ReLU when it reads it.
template <class T>
class ConvBiasRelu final : public Block<T> {
 public:
  Conv2d<T> conv;     ///< its kernel is zero initially
  Parameter<T> bias;  ///< (out_channels), zero initially

  /// Makes a block whose numbers are zero. Throws std::invalid_argument if the shape is impossible.
  explicit ConvBiasRelu(const ConvShape& shape, bool requires_input_grad = true)
      : conv(shape), bias(Parameter<T>::vector(shape.out_channels, T(0))), ones_(shape.out_channels, T(1)) {
    conv.requires_input_grad = requires_input_grad;
  }

  /// Makes a block with the numbers of `fused`. Throws std::invalid_argument if the shape is impossible or a number of
  /// elements is wrong.
  explicit ConvBiasRelu(const FusedConv<T>& fused, bool requires_input_grad = true)
      : ConvBiasRelu(fused.shape, requires_input_grad) {
    require(fused.bias.size() == bias.value.size(), "bias has ", fused.bias.size(), " elements, out_channels is ",
            bias.value.size());
    copy_weight<T>(fused.shape, fused.weight, conv.shape(), std::span<T>(conv.weight.value));
    bias.value = fused.bias;
  }

  LazyTensor<T> forward(const LazyTensor<T>& x, Phase) override { return {conv.forward(x), {ones_, bias.value}}; }

  void backward(Tensor<T>& grad, GradScratch<T>&) override {
    Tensor<T>& y = conv.output();
    require(y.size() > 0, "backward() needs a forward() before it");
    require_grad_shape(grad.shape(), y.shape());
    namespace packet = Eigen::internal;
    const auto [sum] = channel_sums<1>(grad, [&]<class Packet>(std::size_t p, std::size_t c, Packet* sums) {
      T* const of_y = y.pixel(p) + c;
      const Packet z = packet::padd(packet::ploadu<Packet>(of_y), packet::ploadu<Packet>(bias.value.data() + c));
      const Packet g = engine::where_positive(z, packet::ploadu<Packet>(grad.pixel(p) + c));
      packet::pstoreu(of_y, g);
      sums[0] = packet::padd(sums[0], g);
    });
    Eigen::Map<Vector<T>>(bias.grad.data(), sum.size()) += sum.template cast<T>();
    conv.backward(y, grad);
  }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv.visit_parameters(prefix + ".conv", visit);
    visit(prefix + ".conv.bias", bias);
  }

  FusedConv<T> fused() const override { return {conv.shape(), conv.weight.value, bias.value}; }

 private:
  std::vector<T> ones_;
};

}  // namespace repopt::nn
