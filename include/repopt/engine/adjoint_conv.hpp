// The adjoint convolution: with stride 1, dL/dx is itself a convolution of dL/dy, by the kernel turned by 180 degrees.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <span>
#include <utility>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/tensor/simd.hpp"

namespace repopt::nn::engine {

/// Whether dL/dx is a convolution of dL/dy: the stride is 1, and the padding at most dilation * (kernel_size - 1).
constexpr bool has_adjoint(const ConvShape& shape) {
  bool has = true;
  for (std::size_t axis = 0; axis < 2; ++axis)
    has = has && shape.stride[axis] == 1 && shape.padding[axis] <= shape.dilation[axis] * (shape.kernel_size[axis] - 1);
  return has;
}

/// `shape` with in_channels and out_channels swapped, as turn_kernel() swaps them.
constexpr ConvShape swapped_channels(const ConvShape& shape) {
  ConvShape swapped = shape;
  std::swap(swapped.in_channels, swapped.out_channels);
  return swapped;
}

/// The shape of the convolution of dL/dy that gives dL/dx, if has_adjoint(shape).
constexpr ConvShape adjoint_shape(const ConvShape& shape) {
  ConvShape adjoint = swapped_channels(shape);
  for (std::size_t axis = 0; axis < 2; ++axis)
    adjoint.padding[axis] = shape.dilation[axis] * (shape.kernel_size[axis] - 1) - shape.padding[axis];
  return adjoint;
}

/// Transposes a square of `size` x `size` elements in registers. Rows are `from_step` and `to_step` elements apart.
template <class Packet, int size, class T>
void transpose_square(const T* from, std::size_t from_step, T* to, std::size_t to_step) {
  Eigen::internal::PacketBlock<Packet, size> square;
  for (std::size_t k = 0; k < size; ++k) square.packet[k] = Eigen::internal::ploadu<Packet>(from + k * from_step);
  Eigen::internal::ptranspose(square);
  for (std::size_t k = 0; k < size; ++k) Eigen::internal::pstoreu(to + k * to_step, square.packet[k]);
}

/// to (columns, rows) = the transpose of from (rows, columns). The squares are taken in the order in which they lie in
/// `to`, because a store that misses the cache costs more than a load that does.
template <class T>
void transpose(const T* from, std::size_t from_step, std::size_t rows, std::size_t columns, T* to,
               std::size_t to_step) {
  constexpr std::size_t width = Simd<T>::width;
  const std::size_t whole_rows = rows / width * width, whole_columns = columns / width * width;
  for (std::size_t j = 0; j < whole_columns; j += width)
    for (std::size_t i = 0; i < whole_rows; i += width)
      transpose_square<typename Simd<T>::Packet, int(width)>(from + i * from_step + j, from_step, to + j * to_step + i,
                                                             to_step);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      to[j * to_step + i] = from[i * from_step + j];
}

/// Writes the kernel of the adjoint convolution: `weight` turned by 180 degrees, with the input and output channels of
/// each group swapped. `weight` is (kh, kw, in_channels / groups, out_channels), `turned` is (kh, kw, out_channels /
/// groups, in_channels).
template <class T>
void turn_kernel(const ConvShape& shape, std::span<const T> weight, std::span<T> turned) {
  const std::size_t in = shape.in_per_group(), out = shape.out_per_group();
  parallel_for(shape.taps() * shape.groups, weight.size(), [&](std::size_t index) {
    const std::size_t tap = index / shape.groups, group = index % shape.groups;
    transpose(weight.data() + tap * in * shape.out_channels + group * out, shape.out_channels, in, out,
              turned.data() + (shape.taps() - 1 - tap) * out * shape.in_channels + group * in, shape.in_channels);
  });
}

}  // namespace repopt::nn::engine
