// QuantizedConv: a convolution with bias, in integers of at most 8 bits.
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
#include "repopt/quant/weight_rounding.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

/// The weights of a quantized convolution, or of a linear layer, which is a 1x1 convolution here.
struct QuantizedWeights {
  ConvShape shape;                  ///< one group, OHWI
  std::vector<std::int8_t> weight;  ///< (out_channels, kh, kw, in_channels)
  std::vector<float> scale;         ///< scale of the weights, (out_channels) or (1)
  std::vector<std::int32_t> bias;   ///< (out_channels), in units of input.scale * scale
  int bits = 8;                     ///< weights are in [-2^(bits - 1), 2^(bits - 1) - 1]; bits is 2 to 8
  std::vector<std::int32_t> diagonal =
      {};                    ///< (out_channels), 16 bits: added to the centre diagonal; empty: nothing is added
  float diagonal_scale = 1;  ///< scale of the diagonal
};

/// Computes sum = conv(q - zero_point, weight) + bias in 32-bit integers, where q is the quantized input. 1 in a sum
/// represents input.scale * scale. If the weights have a diagonal, each output is that sum plus (q - zero_point) *
/// diagonal, where q is the same channel of the input at the output's pixel. 1 in this product represents input.scale *
/// diagonal_scale.
class QuantizedConv {
 public:
  /// The convolution with these weights, of inputs quantized as `input`. Throws std::invalid_argument if the weights do
  /// not fit their shape or each other, if there is a diagonal and the shape has none, or if a sum could exceed 32
  /// bits.
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
    require_bits("weights", weights_.bits);
    const int most = 1 << (weights_.bits - 1);
    for (const int weight : weights_.weight)
      require(weight >= -most && weight < most, "a weight is ", weight, ", which does not fit ", weights_.bits,
              " bits");
    require_diagonal();
    const std::size_t length = shape.taps() * shape.in_channels;
    constexpr std::int64_t largest_product = std::int64_t(255) * 128, largest_sum = (std::int64_t(1) << 31) - 1;
    for (const std::int32_t bias : weights_.bias)
      require(std::int64_t(length) <= (largest_sum - std::abs(std::int64_t(bias))) / largest_product, "sums of ",
              length, " products and a bias of ", bias, " do not fit 32 bits: ", describe(shape));
    rows_ = IntegerRows(weights_.weight, shape.out_channels);
  }

  /// The quantized convolution nearest to `conv`, for inputs quantized as `input`. Throws std::invalid_argument if an
  /// option is wrong or if a weight or bias is not finite.
  template <class T>
  static QuantizedConv nearest(const nn::FusedConv<T>& conv, const WeightOptions& options, const Quantization& input) {
    const WeightRounding rounding(conv, options, input);
    QuantizedWeights weights{.shape = conv.shape.in_layout(WeightLayout::ohwi),
                             .weight = std::vector<std::int8_t>(conv.shape.size()),
                             .scale = rounding.scales(),
                             .bias = {},
                             .bits = options.bits};
    if (rounding.is_split()) {
      weights.diagonal.resize(conv.shape.out_channels);
      weights.diagonal_scale = rounding.diagonal_scale();
    }
    for_each_weight(conv.shape, [&](const WeightIndex& w) {
      const int integer = rounding.quantize(w, conv.weight[conv.shape.offset(w)]);
      if (rounding.is_split_off(w))
        weights.diagonal[w.out] = integer;
      else
        weights.weight[weights.shape.offset(w)] = std::int8_t(integer);
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

  /// Whether there is a diagonal, and the real number that 1 in a product with it represents.
  /// @{
  bool has_diagonal() const { return !weights_.diagonal.empty(); }
  double product_scale() const { return double(input_.scale) * double(weights_.diagonal_scale); }
  /// @}

  /// The product of the diagonal and `level`, the input at the output's own pixel and channel c.
  std::int32_t product(std::size_t c, std::uint8_t level) const {
    return weights_.diagonal[c] * (std::int32_t(level) - std::int32_t(input_.zero_point));
  }

  /// Calls store(pixel, sums) for each output pixel, as integer_conv() does; the sums are without products. Throws
  /// std::invalid_argument if x does not fit.
  void forward(const nn::Tensor<std::uint8_t>& x, auto store) const {
    integer_conv(weights_.shape, x, input_.zero_point, rows_, weights_.bias, store);
  }

 private:
  void require_diagonal() const {
    if (!has_diagonal()) return;
    const ConvShape& shape = weights_.shape;
    require(has_centre_diagonal(shape), "there is a centre diagonal, but this convolution has none: ", describe(shape));
    require(weights_.diagonal.size() == shape.out_channels, "a centre diagonal has ", weights_.diagonal.size(),
            " elements, out_channels is ", shape.out_channels);
    for (const std::int32_t element : weights_.diagonal)
      require(element >= -32768 && element <= 32767, "a centre diagonal holds ", element,
              ", which does not fit 16 bits");
    require(std::isfinite(weights_.diagonal_scale) && weights_.diagonal_scale > 0,
            "the scale of a centre diagonal must be finite and > 0, it is ", weights_.diagonal_scale);
  }

  QuantizedWeights weights_;
  Quantization input_;
  IntegerRows rows_;
};

}  // namespace repopt::quant
