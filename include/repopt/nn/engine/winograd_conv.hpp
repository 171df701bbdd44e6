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

/// Blocks of tiles with `least_rows` rows or fewer in each, enough for a few tiles of the product; or more, up to
/// `most_rows`, where the kernel at the points is too large for any cache: it passes through once for each block. Where
/// the tiles suffice, the blocks are a multiple of `multiple`. (The number of threads does not matter here: rounding
/// depends on the blocks.)
template <class Scheme>
TileBlocks<Scheme::outputs> winograd_blocks(const ConvShape& shape, const ImageShape& y, std::size_t least_rows,
                                            std::size_t most_rows, std::size_t multiple) {
  constexpr auto large_kernel = std::size_t(512) * 512;  // weights of each tap
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

/// visit(point) for part `part` of `parts` of the points, each with about as many rows.
template <class Scheme, class T>
void for_each_point_of_part(const TileMatrices<Scheme, T>& matrices, std::size_t part, std::size_t parts, auto visit) {
  std::size_t all_rows = 0;
  for (std::size_t point = 0; point < matrices.count; ++point) all_rows += matrices.rows(point);
  for (std::size_t point = 0, first_row = 0; point < matrices.count; first_row += matrices.rows(point++))
    if (first_row * parts / all_rows == part) visit(point);
}

/// y = conv(x, weight) for `shape`'s channels and padding, and the scheme's stride.
template <class Scheme, class T>
void winograd_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                      const InputAffine<T>* input, ChannelMoments* moments) {
  constexpr std::size_t panel = Panels<T>::panel_width;
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  using U = KernelMatrices<Scheme, T>;
  using V = TileMatrices<Scheme, T>;
  const auto u = U::template allocate<Scratch::kernel_at_points>(in_channels, out_channels, panel);
  parallel_for(in_channels, weight.size(), [&](std::size_t in) { transform_kernel(shape, weight.data(), in, u); });
  fill_up_panels(u, out_channels);

  constexpr std::size_t shared_by = 4;  // 1, 2 or 4 threads find equal work
  const auto blocks = winograd_blocks<Scheme>(shape, y.shape(), 24, 96, shared_by);
  const BlockMoments block_moments(moments, blocks.count());
  parallel_for(blocks.count(), y.size() * in_channels, [&](std::size_t index) {
    const auto block = blocks[index];
    const std::size_t tiles = block.tiles();
    const auto v = V::template allocate<Scratch::input_at_points>(tiles, in_channels, in_channels);
    const auto products = V::template allocate<Scratch::products_at_points>(tiles, out_channels, panel);
    fetch_part_of(x, block);
    for (std::size_t tile = 0; tile < tiles; ++tile) transform_input(shape, x, input, block.tile(tile), tile, v);
    for (std::size_t point = 0; point < u.count; ++point)
      multiply<T>({v[point], in_channels, 1}, v.rows(point), {u[point], in_channels, out_channels},
                  Product<T>::in_panels({products[point], v.rows(point), out_channels}), false);
    fetch_part_of(y, block);
    for (std::size_t tile = 0; tile < tiles; ++tile) transform_output(products, block.tile(tile), tile, y);
    block_moments.measure(index, y.pixel(block.first_pixel()), block.pixels(), out_channels);
  });
  block_moments.merge();
}

/// dL/dU += what a block of tiles adds to it, or = if `is_first`.
template <class Scheme, class T>
void accumulate_grad(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y, const InputAffine<T>* input,
                     const TileBlock<Scheme::outputs>& block, const KernelMatrices<Scheme, T>& grad_u, bool is_first) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const std::size_t tiles = block.tiles(), work = tiles * in_channels * out_channels, parts = thread_count();
  using V = TileMatrices<Scheme, T>;
  const auto v = V::template allocate<Scratch::input_at_points>(tiles, in_channels, Strips<T>::panel_width);
  const auto d = V::template allocate<Scratch::products_at_points>(tiles, out_channels, Panels<T>::panel_width);
  parallel_for(tiles, work, [&](std::size_t tile) {
    if (tile % block.across() == 0) {
      fetch_part_of(x, block.row(tile / block.across()));
      fetch_part_of(grad_y, block.row(tile / block.across()));
    }
    transform_input(shape, x, input, block.tile(tile), tile, v);
    transform_grad(grad_y, block.tile(tile), tile, d);
  });
  fill_up_panels(d, out_channels);
  parallel_for(parts, work, [&](std::size_t part) {
    for_each_point_of_part(v, part, parts, [&](std::size_t point) {
      multiply_transposed<T>({v[point], v.rows(point), in_channels}, {d[point], d.rows(point), out_channels},
                             Product<T>::in_panels({grad_u[point], in_channels, out_channels}), !is_first);
    });
  });
}

/// A large dL/dU exists once: threads share each block's tiles, then its points. A small one stays in the cache of a
/// core, so each thread has one and, if they suffice, blocks of its own; loops inside them then run in order.
template <class Scheme, class T>
void winograd_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                              std::span<T> grad_weight, const InputAffine<T>* input) {
  constexpr auto small_kernel = std::size_t(128) * 128;  // weights of each tap
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const bool is_small = in_channels * out_channels <= small_kernel;
  const auto blocks = winograd_blocks<Scheme>(shape, grad_y.shape(), is_small ? 32 : 48, 128, 1);
  if (blocks.count() == 0) return;
  const std::size_t parts = is_small && blocks.count() >= 2 * thread_count() ? thread_count() : 1;
  const auto add = [&](std::size_t begin, std::size_t end, std::span<T> part) {
    using U = KernelMatrices<Scheme, T>;
    const auto grad_u =
        U::template allocate<Scratch::kernel_at_points>(in_channels, out_channels, Panels<T>::panel_width);
    for (std::size_t index = begin; index < end; ++index)
      accumulate_grad<Scheme>(shape, x, grad_y, input, blocks[index], grad_u, index == begin);
    parallel_for(in_channels, grad_weight.size(),
                 [&](std::size_t in) { transform_kernel_grad(grad_u, shape, in, part.data()); });
  };
  sum_over_ranges<T>(blocks.count(), parts, grad_y.size() * in_channels, grad_weight, add);
}

}  // namespace repopt::nn::engine
