// Backward data of a convolution of stride 1: a convolution of dL/dy itself, by the turned kernel.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/parallel.hpp"

namespace repopt::nn::engine {

/// Whether dL/dx is a convolution of dL/dy: stride 1, and no padding beyond the kernel's reach.
constexpr bool has_adjoint(const ConvShape& shape) {
  bool has = true;
  for (std::size_t axis = 0; axis < 2; ++axis)
    has = has && shape.stride[axis] == 1 && shape.padding[axis] <= shape.dilation[axis] * (shape.kernel_size[axis] - 1);
  return has;
}

/// The shape with input and output channels in each other's place, as turn_kernel() puts them.
constexpr ConvShape swapped_channels(const ConvShape& shape) {
  ConvShape swapped = shape;
  std::swap(swapped.in_channels, swapped.out_channels);
  return swapped;
}

/// That convolution's shape.
constexpr ConvShape adjoint_shape(const ConvShape& shape) {
  ConvShape adjoint = swapped_channels(shape);
  for (std::size_t axis = 0; axis < 2; ++axis)
    adjoint.padding[axis] = shape.dilation[axis] * (shape.kernel_size[axis] - 1) - shape.padding[axis];
  return adjoint;
}

/// Its kernel: `weight` turned by 180 degrees, input and output channels of each group swapped. `weight` is
/// (kh, kw, in_channels / groups, out_channels), `turned` (kh, kw, out_channels / groups, in_channels).
template <class T>
void turn_kernel(const ConvShape& shape, std::span<const T> weight, std::span<T> turned) {
  constexpr std::size_t square = 16;  // a square of the channels at a time, so that both sides stay in the cache
  const std::size_t in = shape.in_per_group(), out = shape.out_per_group();
  parallel_for(shape.taps() * shape.groups, weight.size(), [&](std::size_t index) {
    const std::size_t tap = index / shape.groups, group = index % shape.groups;
    const T* const from = weight.data() + tap * in * shape.out_channels + group * out;
    T* const to = turned.data() + (shape.taps() - 1 - tap) * out * shape.in_channels + group * in;
    for (std::size_t first_out = 0; first_out < out; first_out += square)
      for (std::size_t first_in = 0; first_in < in; first_in += square)
        for (std::size_t o = first_out; o < std::min(out, first_out + square); ++o)
          for (std::size_t i = first_in; i < std::min(in, first_in + square); ++i)
            to[o * shape.in_channels + i] = from[i * shape.out_channels + o];
  });
}

}  // namespace repopt::nn::engine
