// QuantizedConv: a convolution with bias, in 8-bit integers.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/quant/integer_conv.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

/// The weights of a quantized convolution, or of a linear layer, which is a 1x1 convolution here.
struct QuantizedWeights {
  ConvShape shape;                  ///< one group, OHWI
  std::vector<std::int8_t> weight;  ///< (out_channels, kh, kw, in_channels), symmetric: in [-127, 127]
  std::vector<float> scale;         ///< scale of the weights, (out_channels) or (1)
  std::vector<std::int32_t> bias;   ///< (out_channels), in units of input.scale * scale
};

/// Computes sum = conv(q - zero_point, weight) + bias in 32-bit integers. A sum represents sum * input.scale * scale.
class QuantizedConv {
 public:
  /// The convolution with these weights, of inputs quantized as `input`. Throws std::invalid_argument if the weights do
  /// not fit their shape or each other, or if a sum could exceed 32 bits.
  QuantizedConv(QuantizedWeights weights, const Quantization& input) : weights_(std::move(weights)), input_(input) {
    const ConvShape& shape = weights_.shape;
    shape.validate();
    require(shape.groups == 1 && shape.layout == WeightLayout::ohwi,
            "a quantized convolution must have one group and layout ohwi: ", describe(shape));
    require(weights_.weight.size() == shape.size() && weights_.bias.size() == shape.out_channels, "a kernel of ",
            describe(shape), " has ", shape.size(), " weights and ", shape.out_channels, " biases, there are ",
            weights_.weight.size(), " and ", weights_.bias.size());
    require(weights_.scale.size() == 1 || weights_.scale.size() == shape.out_channels, "there are ",
            weights_.scale.size(), " scales of weights, out_channels is ", shape.out_channels);
    for (const float scale : weights_.scale)
      require(std::isfinite(scale) && scale > 0, "a scale of weights must be finite and > 0, it is ", scale);
    const std::size_t length = shape.taps() * shape.in_channels;
    constexpr std::int64_t largest_product = std::int64_t(255) * 128, largest_sum = (std::int64_t(1) << 31) - 1;
    for (const std::int32_t bias : weights_.bias)
      require(std::int64_t(length) <= (largest_sum - std::abs(std::int64_t(bias))) / largest_product, "sums of ",
              length, " products and a bias of ", bias, " do not fit 32 bits: ", describe(shape));
    rows_ = IntegerRows(weights_.weight, shape.out_channels);
  }

  /// The quantized convolution nearest to `conv`, for inputs quantized as `input`. Throws std::invalid_argument if a
  /// weight or bias is not finite.
  template <class T>
  static QuantizedConv nearest(const nn::FusedConv<T>& conv, Scheme scheme, const Quantization& input) {
    QuantizedWeights weights{
        conv.shape, std::vector<std::int8_t>(conv.shape.size()), weight_scales(conv, scheme, input), {}};
    weights.shape.layout = WeightLayout::ohwi;
    for_each_weight(conv.shape, [&](const WeightIndex& w) {
      weights.weight[weights.shape.offset(w)] =
          quantize_weight(conv.weight[conv.shape.offset(w)], scale_of(weights.scale, w.out));
    });
    for (std::size_t c = 0; c < conv.bias.size(); ++c)
      weights.bias.push_back(
          std::int32_t(std::lround(double(conv.bias[c]) / (double(input.scale) * double(scale_of(weights.scale, c))))));
    return {std::move(weights), input};
  }

  /// The weights, and the quantization of the input.
  /// @{
  const QuantizedWeights& weights() const { return weights_; }
  const Quantization& input() const { return input_; }
  /// @}

  /// The real number that 1 in a sum of output channel c represents.
  double sum_scale(std::size_t c) const { return double(input_.scale) * double(scale_of(weights_.scale, c)); }

  /// Calls store(pixel, sums) for each output pixel, as integer_conv() does. Throws std::invalid_argument if x does not
  /// fit.
  void forward(const nn::Tensor<std::uint8_t>& x, auto store) const {
    integer_conv(weights_.shape, x, input_.zero_point, rows_, weights_.bias, store);
  }

 private:
  QuantizedWeights weights_;
  Quantization input_;
  IntegerRows rows_;
};

}  // namespace repopt::quant
