// 3x3 convolutions of stride 1 and 2 by Winograd's method: the mathematics are in winograd_transform.hpp, what stride 2
// makes of it in winograd_scheme.hpp.
//
// At each pair of points the convolution is a matrix product over the channels, for a block of tiles at a time, small
// enough for the cache. A row is a tile, or one of a tile's values that share a point.
//
//     forward          x (pixels, C) -> V[point][row][C]
//                      products[point][row][K] = V * U[point][C][K] -> y (pixels, K)
//     backward data    the same, for dL/dy and the kernel turned by 180 degrees with its channels swapped
//     backward weight  dL/dU[point][C][K] = sum over all blocks of V^T * D[point][row][K] -> dL/dw (3, 3, C, K)
//
// U, the kernel at the points, and D, dL/dy at the points, lie in the panels that gemm.hpp multiplies by; so do the
// products, since a tile of them is then one piece of memory. V is row-major in forward, in strips in backward weight.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/parallel.hpp"
#include "repopt/nn/channel_moments.hpp"
#include "repopt/nn/engine/gemm.hpp"
#include "repopt/nn/engine/input_affine.hpp"
#include "repopt/nn/engine/scratch.hpp"
#include "repopt/nn/engine/winograd_matrices.hpp"
#include "repopt/nn/engine/winograd_scheme.hpp"
#include "repopt/nn/engine/winograd_tiles.hpp"
#include "repopt/nn/tensor.hpp"

namespace repopt::nn::engine {

/// Whether the functions of this file compute a convolution of this shape: by Stride1, or by Stride2 and
/// Stride2Adjoint.
constexpr bool is_winograd_shape(const ConvShape& shape) {
  using Pair = std::array<std::size_t, 2>;
  const bool stride_1 = shape.stride == Pair{1, 1} && shape.padding[0] <= 2 && shape.padding[1] <= 2;
  const bool stride_2 = shape.stride == Pair{2, 2} && shape.padding == Pair{1, 1};
  return shape.kernel_size == Pair{3, 3} && shape.dilation == Pair{1, 1} && shape.groups == 1 && (stride_1 || stride_2);
}

/// From so many weights of each tap on, the kernel at the points, four times as large as the kernel and more, is too
/// large for most caches; then its output channels are taken in groups.
inline constexpr auto large_kernel = std::size_t(512) * 512;

/// A batch's tiles in blocks of about `least_rows` rows of V or less; or more, up to `most_rows`, where the kernel at
/// the points is too large for a core's cache: it passes through once for each block. Where the tiles suffice, the
/// blocks are a multiple of `multiple`. (The number of threads does not matter here: rounding depends on the blocks.)
template <class Scheme>
TileBlocks<Scheme::outputs> winograd_blocks(const ConvShape& shape, const ImageShape& y, std::size_t least_rows,
                                            std::size_t most_rows, std::size_t multiple = 1) {
  constexpr std::size_t rows_per_tile = Scheme::values * Scheme::values / (Scheme::points * Scheme::points);
  const auto all = TileBlock<Scheme::outputs>::all(y);
  const std::size_t wanted = most_rows * shape.in_channels * shape.out_channels / large_kernel;
  const std::size_t rows = std::clamp(wanted, least_rows, most_rows) * multiple;
  return {all, (all.tiles() * rows_per_tile + rows - 1) / rows * multiple};
}

/// Zeros in the columns that fill up the last panel of each matrix.
template <class Scheme, class T, bool has_copies>
void fill_up_panels(const PointMatrices<Scheme, T, has_copies>& matrices, std::size_t columns) {
  if (columns % Panels<T>::panel_width == 0) return;
  for (std::size_t point = 0; point < matrices.count; ++point)
    Panels<T>{matrices[point], matrices.rows(point), columns}.fill_up();
}

/// U, or some of its columns.
template <class Scheme, class T>
KernelMatrices<Scheme, T> transform_kernels(const ConvShape& shape, std::span<const T> weight,
                                            const OutputChannels& channels) {
  const std::size_t in_channels = shape.in_channels;
  const auto u = KernelMatrices<Scheme, T>::template allocate<Scratch::kernel_at_points>(in_channels, channels.count,
                                                                                         Panels<T>::panel_width);
  parallel_for(in_channels, shape.taps() * in_channels * channels.count,
               [&](std::size_t in) { transform_kernel(shape, weight.data(), in, channels, u); });
  fill_up_panels(u, channels.count);
  return u;
}

/// V of a block, in columns of `width`; threads share its tiles.
template <class Scheme, class T>
TileMatrices<Scheme, T> transform_inputs(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input,
                                         const TileBlock<Scheme::outputs>& block, std::size_t width) {
  const auto v =
      TileMatrices<Scheme, T>::template allocate<Scratch::input_at_points>(block.tiles(), shape.in_channels, width);
  parallel_for(block.tiles(), block.pixels() * shape.in_channels,
               [&](std::size_t tile) { transform_input(shape, x, input, block.tile(tile), tile, v); });
  return v;
}

/// D of a block; threads share its tiles.
template <class Scheme, class T>
TileMatrices<Scheme, T> transform_grads(const Tensor<T>& grad_y, const TileBlock<Scheme::outputs>& block,
                                        const OutputChannels& channels) {
  const auto d = TileMatrices<Scheme, T>::template allocate<Scratch::products_at_points>(block.tiles(), channels.count,
                                                                                         Panels<T>::panel_width);
  parallel_for(block.tiles(), block.pixels() * channels.count,
               [&](std::size_t tile) { transform_grad(grad_y, block.tile(tile), tile, channels, d); });
  fill_up_panels(d, channels.count);
  return d;
}

/// The products of a block: V, (rows, in_channels), times U.
template <class Scheme, class T>
TileMatrices<Scheme, T> multiply_at_points(const TileMatrices<Scheme, T>& v, std::size_t tiles,
                                           const KernelMatrices<Scheme, T>& u, std::size_t in_channels,
                                           std::size_t out_channels) {
  const auto products = TileMatrices<Scheme, T>::template allocate<Scratch::products_at_points>(tiles, out_channels,
                                                                                                Panels<T>::panel_width);
  for (std::size_t point = 0; point < u.count; ++point)
    multiply<T>({v[point], in_channels, 1}, v.rows(point), {u[point], in_channels, out_channels},
                Product<T>::in_panels({products[point], v.rows(point), out_channels}), false);
  return products;
}

/// visit(point) for part `part` of `parts` of the points, each with about as many rows.
template <class Scheme, class T>
void for_each_point_of_part(const TileMatrices<Scheme, T>& matrices, std::size_t part, std::size_t parts, auto visit) {
  std::size_t all_rows = 0;
  for (std::size_t point = 0; point < matrices.count; ++point) all_rows += matrices.rows(point);
  for (std::size_t point = 0, first_row = 0; point < matrices.count; first_row += matrices.rows(point++))
    if (first_row * parts / all_rows == part) visit(point);
}

/// dL/dU = or += V^T * D of a block, V in strips; threads share the points.
template <class Scheme, class T>
void multiply_transposed_at_points(const TileMatrices<Scheme, T>& v, std::size_t in_channels,
                                   const TileMatrices<Scheme, T>& d, std::size_t out_channels,
                                   const KernelMatrices<Scheme, T>& grad_u, bool accumulate) {
  const std::size_t parts = thread_count();
  parallel_for(parts, v.rows(0) * in_channels * out_channels, [&](std::size_t part) {
    for_each_point_of_part(v, part, parts, [&](std::size_t point) {
      multiply_transposed<T>({v[point], v.rows(point), in_channels}, {d[point], d.rows(point), out_channels},
                             Product<T>::in_panels({grad_u[point], in_channels, out_channels}), accumulate);
    });
  });
}

/// visit(channels) for a few panels of output channels after the other, in parallel.
template <class T>
void for_each_channel_group(std::size_t out_channels, std::size_t work, auto visit) {
  constexpr std::size_t panel = Panels<T>::panel_width, most = 64;
  const std::size_t share = (out_channels + thread_count() - 1) / thread_count();
  const std::size_t size = std::min(most, (share + panel - 1) / panel * panel);
  parallel_for((out_channels + size - 1) / size, work, [&](std::size_t group) {
    visit(OutputChannels{group * size, std::min(size, out_channels - group * size)});
  });
}

/// dL/dw += what dL/dU, or some of its columns, makes of it.
template <class Scheme, class T>
void transform_kernel_grads(const KernelMatrices<Scheme, T>& grad_u, const ConvShape& shape,
                            const OutputChannels& channels, std::span<T> grad_weight) {
  parallel_for(shape.in_channels, shape.taps() * shape.in_channels * channels.count,
               [&](std::size_t in) { transform_kernel_grad(grad_u, shape, in, channels, grad_weight.data()); });
}

/// winograd_forward() with U made once; each thread takes blocks of tiles.
template <class Scheme, class T>
void winograd_forward_by_tiles(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                               const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const OutputChannels all{0, out_channels};
  const auto u = transform_kernels<Scheme>(shape, weight, all);
  constexpr std::size_t shared_by = 4;  // 1, 2 or 4 threads find equal work
  const auto blocks = winograd_blocks<Scheme>(shape, y.shape(), 24, 96, shared_by);
  const BlockMoments block_moments(moments, blocks.count());
  parallel_for(blocks.count(), y.size() * in_channels, [&](std::size_t index) {
    const auto block = blocks[index];
    fetch_part_of(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, in_channels);
    const auto products = multiply_at_points(v, block.tiles(), u, in_channels, out_channels);
    fetch_part_of(y, block);
    for (std::size_t tile = 0; tile < block.tiles(); ++tile) transform_output(products, block.tile(tile), tile, all, y);
    block_moments.measure(index, y.pixel(block.first_pixel()), block.pixels(), out_channels);
  });
  block_moments.merge();
}

/// winograd_forward() for a large kernel, whose U would not fit into any cache: V is made once for many tiles, and each
/// thread takes groups of output channels, with their part of U.
template <class Scheme, class T>
void winograd_forward_by_channels(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                                  const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const auto blocks = winograd_blocks<Scheme>(shape, y.shape(), 256, 256);
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const auto block = blocks[index];
    const std::size_t tiles = block.tiles();
    fetch_part_of(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, in_channels);
    for_each_channel_group<T>(out_channels, weight.size(), [&](const OutputChannels& channels) {
      const auto u = transform_kernels<Scheme>(shape, weight, channels);
      const auto products = multiply_at_points(v, tiles, u, in_channels, channels.count);
      for (std::size_t tile = 0; tile < tiles; ++tile) {
        prefetch_tile(y, block.tile(std::min(tile + 2, tiles - 1)), channels);
        transform_output(products, block.tile(tile), tile, channels, y);
      }
    });
  }
  if (moments) moments->measure(y);
}

/// y = conv(x, weight) for `shape`'s channels and padding, and the scheme's stride.
template <class Scheme, class T>
void winograd_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                      const InputAffine<T>* input, ChannelMoments* moments) {
  if (shape.in_channels * shape.out_channels >= large_kernel)
    winograd_forward_by_channels<Scheme>(shape, x, weight, y, input, moments);
  else
    winograd_forward_by_tiles<Scheme>(shape, x, weight, y, input, moments);
}

/// winograd_backward_weight() for a large kernel: as in winograd_forward_by_channels().
template <class Scheme, class T>
void winograd_backward_weight_by_channels(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                                          std::span<T> grad_weight, const InputAffine<T>* input) {
  const auto blocks = winograd_blocks<Scheme>(shape, grad_y.shape(), 256, 256);
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const auto block = blocks[index];
    fetch_part_of(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, Strips<T>::panel_width);
    for_each_channel_group<T>(shape.out_channels, grad_weight.size(), [&](const OutputChannels& channels) {
      const auto d = transform_grads<Scheme>(grad_y, block, channels);
      const auto grad_u = KernelMatrices<Scheme, T>::template allocate<Scratch::kernel_at_points>(
          shape.in_channels, channels.count, Panels<T>::panel_width);
      multiply_transposed_at_points(v, shape.in_channels, d, channels.count, grad_u, false);
      transform_kernel_grads(grad_u, shape, channels, grad_weight);
    });
  }
}

/// winograd_backward_weight() for a kernel whose dL/dU exists as a whole. A small one stays in the cache of a core, so
/// each thread has one and, if they suffice, blocks of its own; else threads share each block.
template <class Scheme, class T>
void winograd_backward_weight_by_tiles(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                                       std::span<T> grad_weight, const InputAffine<T>* input) {
  constexpr auto small_kernel = std::size_t(128) * 128;  // weights of each tap
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const OutputChannels all{0, out_channels};
  const bool is_small = in_channels * out_channels <= small_kernel;
  const auto blocks = winograd_blocks<Scheme>(shape, grad_y.shape(), is_small ? 32 : 48, 128);
  if (blocks.count() == 0) return;
  const auto add = [&](std::size_t begin, std::size_t end, std::span<T> sum) {
    const auto grad_u = KernelMatrices<Scheme, T>::template allocate<Scratch::kernel_at_points>(
        in_channels, out_channels, Panels<T>::panel_width);
    for (std::size_t index = begin; index < end; ++index) {
      fetch_part_of(x, blocks[index]);
      const auto v = transform_inputs<Scheme>(shape, x, input, blocks[index], Strips<T>::panel_width);
      fetch_part_of(grad_y, blocks[index]);
      const auto d = transform_grads<Scheme>(grad_y, blocks[index], all);
      multiply_transposed_at_points(v, in_channels, d, out_channels, grad_u, index > begin);
    }
    transform_kernel_grads(grad_u, shape, all, sum);
  };
  const std::size_t parts = is_small && blocks.count() >= 2 * thread_count() ? thread_count() : 1;
  sum_over_ranges<T>(blocks.count(), parts, grad_y.size() * in_channels, grad_weight, add);
}

/// grad_weight += dL/dweight, for `shape`'s channels and padding, and the scheme's stride.
template <class Scheme, class T>
void winograd_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                              std::span<T> grad_weight, const InputAffine<T>* input) {
  if (shape.in_channels * shape.out_channels >= large_kernel)
    winograd_backward_weight_by_channels<Scheme>(shape, x, grad_y, grad_weight, input);
  else
    winograd_backward_weight_by_tiles<Scheme>(shape, x, grad_y, grad_weight, input);
}

}  // namespace repopt::nn::engine
