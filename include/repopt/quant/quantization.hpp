// Quantization: represents real numbers by 8-bit integers with a scale and a zero point.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"

namespace repopt::quant {

/// The affine quantization of an activation to uint8: real = scale * (q - zero_point). It rounds ties to even, as
/// ONNX's QuantizeLinear and DequantizeLinear do.
struct Quantization {
  float scale = 1;              ///< distance of neighbouring levels, as real numbers
  std::uint8_t zero_point = 0;  ///< the level that stands for 0

  /// The finest quantization whose 256 levels reach from min(low, 0) to max(high, 0), with 0 as one of the levels.
  /// Throws std::invalid_argument unless low <= high and both are finite.
  static Quantization of_range(double low, double high) {
    require(std::isfinite(low) && std::isfinite(high) && low <= high, "a range must be finite and ordered, it is ", low,
            " to ", high);
    low = std::min(low, 0.0);
    high = std::max(high, 0.0);
    const auto scale = float((high - low) / 255);
    if (!(scale > 0)) return {};  // all values are zero
    return {scale, std::uint8_t(std::lround(std::min(-low / double(scale), 255.0)))};
  }

  /// The level nearest to x. A value beyond the ends becomes the nearer end, a NaN becomes level 0.
  std::uint8_t quantize(float x) const {
    const float level = std::nearbyint(x / scale) + float(zero_point);
    return level > 0 ? std::uint8_t(std::min(level, 255.0F)) : std::uint8_t(0);
  }

  /// The real number that a level represents.
  float dequantize(std::uint8_t level) const { return scale * float(int(level) - int(zero_point)); }

  /// The least and the largest number that a level represents.
  /// @{
  float low() const { return dequantize(0); }
  float high() const { return dequantize(255); }
  /// @}

  bool operator==(const Quantization&) const = default;
};

/// Whether a kernel has one scale or one scale for each output channel.
enum class Scheme { per_tensor, per_channel };

/// The name of a scheme: "per-tensor" or "per-channel".
constexpr std::string_view to_string(Scheme scheme) {
  return scheme == Scheme::per_tensor ? "per-tensor" : "per-channel";
}

/// The scales of a kernel's symmetric quantization to [-127, 127], max|w| / 127: (out_channels) of them, or one.
/// `input` is the quantization of the kernel's input. A scale is larger than max|w| / 127 if the weights are so small
/// that the bias, in units of input.scale * scale, would not fit 31 bits. Throws std::invalid_argument if a weight or
/// bias is not finite.
template <class T>
std::vector<float> weight_scales(const nn::FusedConv<T>& conv, Scheme scheme, const Quantization& input) {
  constexpr double largest_weight = 127, largest_bias = 1 << 30;
  const std::size_t channels = conv.shape.out_channels;
  std::vector<double> largest(channels);
  for_each_weight(conv.shape, [&](const WeightIndex& w) {
    const auto weight = double(conv.weight[conv.shape.offset(w)]);
    require(std::isfinite(weight), "a kernel to quantize holds ", weight);
    largest[w.out] = std::max(largest[w.out], std::abs(weight));
  });
  for (std::size_t c = 0; c < channels; ++c) {
    require(std::isfinite(conv.bias[c]), "a bias to quantize holds ", conv.bias[c]);
    const double least = std::abs(double(conv.bias[c])) / (double(input.scale) * largest_bias);
    largest[c] = std::max(largest[c], largest_weight * least);
  }
  if (scheme == Scheme::per_tensor) {
    const double of_all = *std::ranges::max_element(largest);
    largest.assign(1, of_all);
  }
  std::vector<float> scales;
  for (const double value : largest) scales.push_back(value > 0 ? float(value / largest_weight) : 1.0F);
  return scales;
}

/// The scale of a channel. `scales` has one number for each channel, or one for all.
inline float scale_of(std::span<const float> scales, std::size_t channel) {
  return scales[scales.size() == 1 ? 0 : channel];
}

/// The integer in [-127, 127] that is nearest to weight / scale; ties are rounded to even.
template <class T>
std::int8_t quantize_weight(T weight, float scale) {
  return std::int8_t(std::clamp<T>(std::nearbyint(weight / T(scale)), T(-127), T(127)));
}

}  // namespace repopt::quant
