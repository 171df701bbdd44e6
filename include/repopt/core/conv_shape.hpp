// ConvShape: the dimensions of a 2-D convolution, and where each of its weights lies in memory.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"

namespace repopt {

/// The order of a kernel's axes in memory, outermost first: O for out_channels, I for in_channels / groups, H and W for
/// kernel_size.
enum class WeightLayout {
  oihw,  ///< PyTorch's contiguous kernels, and dlib's
  ohwi,  ///< PyTorch's channels_last kernels, and TFLite's
  hwio,  ///< TensorFlow's kernels, and those of this library's networks
};

/// The place of one weight in a kernel.
struct WeightIndex {
  std::size_t out = 0;     ///< output channel
  std::size_t in = 0;      ///< input channel, within its group
  std::size_t row = 0;     ///< the tap's row
  std::size_t column = 0;  ///< the tap's column
};

/// A 2-D convolution, in the terms of torch.nn.Conv2d. The default is a 3x3 convolution that keeps the image's size.
struct ConvShape {
  /// The arguments of torch.nn.Conv2d. Pairs are (height, width). `padding` is added on both sides of the image.
  /// @{
  std::size_t in_channels = 1, out_channels = 1;
  std::array<std::size_t, 2> kernel_size{3, 3}, padding{1, 1}, stride{1, 1}, dilation{1, 1};
  std::size_t groups = 1;
  /// @}
  WeightLayout layout = WeightLayout::oihw;  ///< the kernel's order in memory

  /// A fully connected layer, weight (out_features, in_features), as a 1x1 convolution.
  static constexpr ConvShape linear(std::size_t in_features, std::size_t out_features) {
    return {.in_channels = in_features, .out_channels = out_features, .kernel_size = {1, 1}, .padding = {0, 0}};
  }

  /// One weight per channel: a depthwise 1x1 convolution, weight (channels, 1, 1, 1).
  static constexpr ConvShape depthwise_1x1(std::size_t channels, std::array<std::size_t, 2> stride = {1, 1}) {
    return {.in_channels = channels,
            .out_channels = channels,
            .kernel_size = {1, 1},
            .padding = {0, 0},
            .stride = stride,
            .groups = channels};
  }

  /// The number of input channels in a group, output channels in a group, taps, and weights.
  /// @{
  constexpr std::size_t in_per_group() const { return in_channels / groups; }
  constexpr std::size_t out_per_group() const { return out_channels / groups; }
  constexpr std::size_t taps() const { return kernel_size[0] * kernel_size[1]; }
  constexpr std::size_t size() const { return out_channels * in_per_group() * taps(); }
  /// @}

  /// The kernel's dimensions in PyTorch: (out_channels, in_channels / groups, kh, kw).
  std::vector<std::size_t> dims() const { return {out_channels, in_per_group(), kernel_size[0], kernel_size[1]}; }

  /// The same convolution, with the kernel in another layout.
  constexpr ConvShape in_layout(WeightLayout other) const {
    ConvShape shape = *this;
    shape.layout = other;
    return shape;
  }

  /// The distance in memory between neighbours along each axis, in elements.
  constexpr WeightIndex strides() const {
    const std::size_t in = in_per_group(), width = kernel_size[1];
    switch (layout) {
      case WeightLayout::ohwi: return {.out = taps() * in, .in = 1, .row = width * in, .column = in};
      case WeightLayout::hwio:
        return {.out = 1, .in = out_channels, .row = width * in * out_channels, .column = in * out_channels};
      case WeightLayout::oihw: break;
    }
    return {.out = in * taps(), .in = taps(), .row = width, .column = 1};
  }

  /// The index in memory of one weight.
  constexpr std::size_t offset(const WeightIndex& weight) const {
    const WeightIndex s = strides();
    return weight.out * s.out + weight.in * s.in + weight.row * s.row + weight.column * s.column;
  }

  /// The output's height and width for an image of `height` x `width` pixels. The shape must be valid. Throws
  /// std::invalid_argument if the padded image is smaller than the dilated kernel.
  constexpr std::array<std::size_t, 2> output_size(std::size_t height, std::size_t width) const {
    std::array<std::size_t, 2> out{height, width};
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const std::size_t extent = dilation[axis] * (kernel_size[axis] - 1) + 1, padded = out[axis] + 2 * padding[axis];
      require(padded >= extent, "the padded image has ", padded, " pixels along axis ", axis, ", the kernel spans ",
              extent);
      out[axis] = (padded - extent) / stride[axis] + 1;
    }
    return out;
  }

  /// Throws std::invalid_argument if a dimension is zero, the groups do not divide the channels, or the number of
  /// weights, the padding or the dilation leaves the range of std::ptrdiff_t.
  void validate() const;

  constexpr bool operator==(const ConvShape&) const = default;
};

/// The layout's name, e.g. "oihw".
constexpr const char* to_string(WeightLayout layout) {
  return layout == WeightLayout::oihw ? "oihw" : layout == WeightLayout::ohwi ? "ohwi" : "hwio";
}

/// The shape in words, for error messages: "conv 16->32, kernel 3x3, padding 1x1, stride 1x1, dilation 1x1, groups 1,
/// oihw".
inline std::string describe(const ConvShape& shape) {
  const auto by = [](const std::array<std::size_t, 2>& pair) { return concat(pair[0], "x", pair[1]); };
  return concat("conv ", shape.in_channels, "->", shape.out_channels, ", kernel ", by(shape.kernel_size), ", padding ",
                by(shape.padding), ", stride ", by(shape.stride), ", dilation ", by(shape.dilation), ", groups ",
                shape.groups, ", ", to_string(shape.layout));
}

inline void ConvShape::validate() const {
  bool positive = true, fits = true;
  std::size_t weights = 1;
  for (const std::size_t factor : {in_channels, out_channels, kernel_size[0], kernel_size[1]}) {
    positive = positive && factor > 0;
    fits = fits && positive && weights <= std::numeric_limits<std::ptrdiff_t>::max() / factor;
    weights *= factor;
  }
  require(positive, "channels and kernel_size must be positive: ", describe(*this));
  require(fits, "more weights than memory can hold: ", describe(*this));
  constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max() / 4;
  for (std::size_t axis = 0; axis < 2; ++axis)
    require(padding[axis] <= most && dilation[axis] <= most / kernel_size[axis],
            "padding or dilation is too large: ", describe(*this));
  require(stride[0] > 0 && stride[1] > 0 && dilation[0] > 0 && dilation[1] > 0,
          "stride and dilation must be positive: ", describe(*this));
  require(groups > 0 && in_channels % groups == 0 && out_channels % groups == 0,
          "groups must divide in_channels and out_channels: ", describe(*this));
}

/// Calls visit(WeightIndex) for every weight, in OIHW order.
constexpr void for_each_weight(const ConvShape& shape, auto visit) {
  for (std::size_t out = 0; out < shape.out_channels; ++out)
    for (std::size_t in = 0; in < shape.in_per_group(); ++in)
      for (std::size_t row = 0; row < shape.kernel_size[0]; ++row)
        for (std::size_t column = 0; column < shape.kernel_size[1]; ++column)
          visit(WeightIndex{.out = out, .in = in, .row = row, .column = column});
}

/// Copies a kernel from the layout of `from` to the layout of `to`. `source` is (out_channels, in_channels / groups,
/// kh, kw) in the layout of `from`, `destination` in the layout of `to`. Throws std::invalid_argument if the shapes
/// are impossible or differ in more than their layout, if a buffer has the wrong size, or if the buffers overlap.
template <class T>
void copy_weight(const ConvShape& from, std::span<const T> source, const ConvShape& to, std::span<T> destination) {
  require(from.in_layout(to.layout) == to, "a kernel of [", describe(from), "] cannot be copied to a kernel of [",
          describe(to), "]: more than their layouts differ");
  to.validate();
  require(source.size() == from.size() && destination.size() == to.size(), "a kernel of ", describe(to), " has ",
          to.size(), " weights, the buffers hold ", source.size(), " and ", destination.size());
  require(!overlap<T>(source, destination), "the kernel and its copy overlap in memory");
  if (from.layout == to.layout) {
    std::ranges::copy(source, destination.begin());
  } else {
    for_each_weight(to, [&](const WeightIndex& w) { destination[to.offset(w)] = source[from.offset(w)]; });
  }
}

}  // namespace repopt
