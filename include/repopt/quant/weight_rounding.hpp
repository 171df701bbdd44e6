// WeightRounding: rounds a kernel to integers. The diagonal of its centre tap can have integers of its own.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/quant/quantization.hpp"

namespace repopt::quant {

/// Whether a kernel has one scale or one scale for each output channel.
enum class Scheme { per_tensor, per_channel };

/// The name of a scheme: "per-tensor" or "per-channel".
constexpr std::string_view to_string(Scheme scheme) {
  return scheme == Scheme::per_tensor ? "per-tensor" : "per-channel";
}

/// How kernels are quantized.
struct WeightOptions {
  Scheme scheme = Scheme::per_channel;  ///< which weights share a scale
  int bits = 8;                         ///< weights are integers in +-(2^(bits - 1) - 1); bits is 2 to 8
  int diagonal_bits = 0;  ///< 8 or 16: centre diagonals are split off and have so many bits; 0: they are not split off
};

/// Throws std::invalid_argument unless bits is 2 to 8 and diagonal_bits is 0, 8 or 16.
inline void require_valid(const WeightOptions& options) {
  require_bits("weights", options.bits);
  const int bits = options.diagonal_bits;
  require(bits == 0 || bits == 8 || bits == 16, "the bits of centre diagonals must be 8, 16 or, to keep them in their ",
          "kernels, 0, they are ", bits);
}

/// Whether the kernel has a centre diagonal: weights (c, c) at a tap that reads the output's own pixel. There an
/// identity branch adds its scale, so it is much larger than the other weights of a kernel with such a branch.
constexpr bool has_centre_diagonal(const ConvShape& shape) {
  bool reads_own_pixel = true;
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::size_t size = shape.kernel_size[axis];
    reads_own_pixel = reads_own_pixel && size % 2 == 1 && shape.stride[axis] == 1 &&
                      shape.padding[axis] == shape.dilation[axis] * (size / 2);
  }
  return reads_own_pixel && shape.groups == 1 && shape.in_channels == shape.out_channels;
}

/// Whether the weight is on the centre diagonal of a kernel that has one.
constexpr bool is_on_centre_diagonal(const ConvShape& shape, const WeightIndex& weight) {
  return weight.out == weight.in && weight.row == shape.kernel_size[0] / 2 && weight.column == shape.kernel_size[1] / 2;
}

/// The scale of a channel. `scales` has one number for each channel, or one for all.
inline float scale_of(std::span<const float> scales, std::size_t channel) {
  return scales[scales.size() == 1 ? 0 : channel];
}

/// The rounding of one kernel's weights to integers: real = scale * integer. It is symmetric, and its scale is the
/// largest absolute weight divided by the largest integer. With diagonal_bits, a kernel that has a centre diagonal is
/// split: the diagonal has one scale of its own, and the scales of the other weights do not depend on it.
class WeightRounding {
 public:
  /// Chooses the scales for the kernel of `conv`, whose input is quantized as `input`. A kernel's scale is larger than
  /// described if its weights are so small that the bias, in units of input.scale * scale, would not fit 31 bits.
  /// Throws std::invalid_argument if an option is wrong, if the shape is impossible or a number of elements is wrong,
  /// or if a weight or bias is not finite as a float.
  template <class T>
  WeightRounding(const nn::FusedConv<T>& conv, const WeightOptions& options, const Quantization& input)
      : shape_(conv.shape) {
    require_valid(options);
    shape_.validate();
    require(conv.weight.size() == shape_.size() && conv.bias.size() == shape_.out_channels, "a kernel of ",
            describe(shape_), " has ", shape_.size(), " weights and ", shape_.out_channels, " biases, there are ",
            conv.weight.size(), " and ", conv.bias.size());
    is_split_ = options.diagonal_bits > 0 && has_centre_diagonal(shape_);
    largest_ = largest_integer(options.bits);
    std::vector<double> largest(shape_.out_channels);
    double largest_of_diagonal = 0;
    for_each_weight(shape_, [&](const WeightIndex& w) {
      const auto weight = double(conv.weight[shape_.offset(w)]);
      require(std::isfinite(weight), "a kernel to quantize holds ", weight);
      double& so_far = is_split_off(w) ? largest_of_diagonal : largest[w.out];
      so_far = std::max(so_far, std::abs(weight));
    });
    constexpr double largest_bias = 1 << 30;
    for (std::size_t c = 0; c < largest.size(); ++c) {
      require(std::isfinite(conv.bias[c]), "a bias to quantize holds ", conv.bias[c]);
      const double least = std::abs(double(conv.bias[c])) / (double(input.scale) * largest_bias);
      largest[c] = std::max(largest[c], double(largest_) * least);
    }
    if (options.scheme == Scheme::per_tensor) {
      const double of_all = *std::ranges::max_element(largest);
      largest.assign(1, of_all);
    }
    for (const double value : largest) scales_.push_back(scale_for(value, largest_));
    if (!is_split_) return;
    largest_on_diagonal_ = largest_integer(options.diagonal_bits);
    diagonal_scale_ = scale_for(largest_of_diagonal, largest_on_diagonal_);
  }

  /// The scales of the kernel: (out_channels), or (1).
  const std::vector<float>& scales() const { return scales_; }

  /// Whether the centre diagonal is split off, and its scale then.
  /// @{
  bool is_split() const { return is_split_; }
  float diagonal_scale() const { return diagonal_scale_; }
  /// @}

  /// Whether this weight is split off.
  bool is_split_off(const WeightIndex& w) const { return is_split_ && is_on_centre_diagonal(shape_, w); }

  /// The scale of a weight.
  float scale(const WeightIndex& w) const { return is_split_off(w) ? diagonal_scale_ : scale_of(scales_, w.out); }

  /// The integer that is nearest to value / scale(w); ties are rounded to even.
  template <class T>
  int quantize(const WeightIndex& w, T value) const {
    const T largest = T(is_split_off(w) ? largest_on_diagonal_ : largest_);
    return int(std::clamp(std::nearbyint(value / T(scale(w))), -largest, largest));
  }

 private:
  static int largest_integer(int bits) { return (1 << (bits - 1)) - 1; }

  static float scale_for(double largest_weight, int largest_integer) {
    const auto scale = float(largest_weight / largest_integer);
    require(std::isfinite(scale), "a kernel or bias to quantize holds numbers up to ", largest_weight);
    return scale > 0 ? scale : 1.0F;  // all weights round to 0
  }

  ConvShape shape_;
  std::vector<float> scales_;
  int largest_ = 0, largest_on_diagonal_ = 0;  ///< the largest integers
  bool is_split_ = false;
  float diagonal_scale_ = 1;
};

}  // namespace repopt::quant
