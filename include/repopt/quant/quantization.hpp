// Quantization: real numbers as 8-bit integers with a scale.
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

/// Affine quantization of activations to uint8: real = scale * (q - zero_point). As ONNX's QuantizeLinear and
/// DequantizeLinear, ties to even.
struct Quantization {
  float scale = 1;              ///< real distance of neighbouring levels
  std::uint8_t zero_point = 0;  ///< the level that stands for 0

  /// The finest one whose 256 levels reach from min(low, 0) to max(high, 0); 0 itself is a level. Throws
  /// std::invalid_argument unless low <= high and both are finite.
  static Quantization of_range(double low, double high) {
    require(std::isfinite(low) && std::isfinite(high) && low <= high, "a range must be finite and ordered, it is ", low,
            " to ", high);
    low = std::min(low, 0.0);
    high = std::max(high, 0.0);
    const auto scale = float((high - low) / 255);
    if (!(scale > 0)) return {};  // nothing but zero
    return {scale, std::uint8_t(std::lround(std::min(-low / double(scale), 255.0)))};
  }

  /// The nearest level; what lies beyond the ends becomes an end.
  std::uint8_t quantize(float x) const {
    const float level = std::nearbyint(x / scale) + float(zero_point);
    return level > 0 ? std::uint8_t(std::min(level, 255.0F)) : std::uint8_t(0);
  }

  /// What a level stands for.
  float dequantize(std::uint8_t level) const { return scale * float(int(level) - int(zero_point)); }

  /// The ends of what is represented.
  /// @{
  float low() const { return dequantize(0); }
  float high() const { return dequantize(255); }
  /// @}

  bool operator==(const Quantization&) const = default;
};

/// Whether a kernel has one scale, or one for each output channel.
enum class Scheme { per_tensor, per_channel };

/// "per-tensor" or "per-channel".
constexpr std::string_view to_string(Scheme scheme) {
  return scheme == Scheme::per_tensor ? "per-tensor" : "per-channel";
}

/// The scales of a kernel's symmetric quantization to [-127, 127], max|w| / 127: (out_channels), or one number. `input`
/// is what the kernel is applied to: where weights are so small that the bias would leave 31 bits in units of
/// input.scale * scale, the scale is larger. Throws std::invalid_argument if a number is not finite.
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

/// The scale of one channel, where `scales` holds one for each or one for all.
inline float scale_of(std::span<const float> scales, std::size_t channel) {
  return scales[scales.size() == 1 ? 0 : channel];
}

/// A weight in units of its scale, in [-127, 127], ties to even.
template <class T>
std::int8_t quantize_weight(T weight, float scale) {
  return std::int8_t(std::clamp<T>(std::nearbyint(weight / T(scale)), T(-127), T(127)));
}

}  // namespace repopt::quant
