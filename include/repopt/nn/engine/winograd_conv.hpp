// The 3x3 convolution of stride 1 by Winograd's F(m x m, 3x3): see winograd_transform.hpp for the mathematics.
//
// At each of the (m + 2)^2 pairs of points the convolution is a matrix product over the channels. A block of tiles at
// a time, small enough for the cache:
//
//     forward          x (pixels, C) -> V[point][tile][C];  V * U[point][C][K] = products[point][tile][K] -> y (pixels,
//     K) backward data    the same, for dL/dy and the kernel turned by 180 degrees with its channels swapped backward
//     weight  V^T[point][C][tile] * D[point][tile][K], summed over all blocks -> dL/dw (3, 3, C, K)
//
// U, the kernel at the points, and D, dL/dy at the points, lie in the panels that gemm.hpp multiplies by; so do the
// products, since a tile of them is then one piece of memory. V lies in rows for forward, in strips for backward
// weight.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/parallel.hpp"
#include "repopt/nn/channel_moments.hpp"
#include "repopt/nn/engine/gemm.hpp"
#include "repopt/nn/engine/input_affine.hpp"
#include "repopt/nn/engine/scratch.hpp"
#include "repopt/nn/engine/winograd_tiles.hpp"
#include "repopt/nn/tensor.hpp"

namespace repopt::nn::engine {

/// Whether the functions of this file compute a convolution of this shape.
constexpr bool is_winograd_shape(const ConvShape& shape) {
  using Pair = std::array<std::size_t, 2>;
  return shape.kernel_size == Pair{3, 3} && shape.stride == Pair{1, 1} && shape.dilation == Pair{1, 1} &&
         shape.groups == 1 && shape.padding[0] <= 2 && shape.padding[1] <= 2;
}

/// Blocks of tiles. The kernel at the points, 36 / 9 times the kernel's size, passes through the cache once for each
/// block: the more channels, the more tiles must share it. Few blocks, though, are hard to share among threads.
template <std::size_t m>
TileBlocks<m> winograd_blocks(const ConvShape& shape, const ImageShape& y) {
  constexpr std::size_t least = 24, most = 128, blocks_for_threads = 4;
  const auto all = TileBlock<m>::all(y);
  const std::size_t by_channels = std::clamp((shape.in_channels + shape.out_channels) / 4, least, most);
  return {all, std::min(by_channels, std::max(least, all.tiles() / blocks_for_threads))};
}

/// Working memory for matrices (rows, columns), of `matrix_size` elements, at all points.
template <Scratch purpose, std::size_t m, class T>
PointMatrices<m, T> point_scratch(std::size_t matrix_size) {
  return {scratch<purpose, T>(PointMatrices<m, T>::size(matrix_size)), matrix_size};
}

/// Zeros in the columns that fill up the last panel of each matrix (depth, columns).
template <std::size_t m, class T>
void fill_up_panels(const PointMatrices<m, T>& matrices, std::size_t depth, std::size_t columns) {
  if (columns % Panels<T>::panel_width == 0) return;
  for (std::size_t point = 0; point < matrices.count; ++point) Panels<T>{matrices[point], depth, columns}.fill_up();
}

template <std::size_t m, class T>
void winograd_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                      const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const auto u = point_scratch<Scratch::kernel_at_points, m, T>(Panels<T>::size(in_channels, out_channels));
  parallel_for(in_channels, weight.size(),
               [&](std::size_t in) { transform_kernel(weight.data(), in_channels, out_channels, in, u); });
  fill_up_panels(u, in_channels, out_channels);

  const TileBlocks<m> blocks = winograd_blocks<m>(shape, y.shape());
  std::vector<ChannelMoments> parts(moments ? blocks.count() : 0);
  parallel_for(blocks.count(), y.size() * in_channels, [&](std::size_t index) {
    const TileBlock<m> block = blocks[index];
    const auto v = point_scratch<Scratch::input_at_points, m, T>(blocks.most_tiles() * in_channels);
    const auto products =
        point_scratch<Scratch::products_at_points, m, T>(Panels<T>::size(blocks.most_tiles(), out_channels));
    const std::size_t tiles = block.tiles();
    for (std::size_t tile = 0; tile < tiles; ++tile)
      transform_input(shape, x, input, block.tile(tile), v, [&](std::size_t c) { return tile * in_channels + c; });
    for (std::size_t point = 0; point < u.count; ++point)
      multiply<T>({v[point], in_channels, 1}, tiles, {u[point], in_channels, out_channels},
                  Product<T>::in_panels({products[point], tiles, out_channels}), false);
    for (std::size_t tile = 0; tile < tiles; ++tile) transform_output(products, block.tile(tile), tile, tiles, y);
    if (moments) parts[index] = ChannelMoments::of_block(y.pixel(block.first_pixel()), block.pixels(), out_channels);
  });
  if (moments) *moments = ChannelMoments::merged(parts);
}

/// The sum over the batch is shared among threads by points, so that its rounding does not depend on their number.
template <std::size_t m, class T>
void winograd_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                              std::span<T> grad_weight, const InputAffine<T>* input) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const TileBlocks<m> blocks = winograd_blocks<m>(shape, grad_y.shape());
  const auto v = point_scratch<Scratch::input_at_points, m, T>(Strips<T>::size(blocks.most_tiles(), in_channels));
  const auto d = point_scratch<Scratch::grad_at_points, m, T>(Panels<T>::size(blocks.most_tiles(), out_channels));
  const auto grad_u = point_scratch<Scratch::kernel_grad_at_points, m, T>(Panels<T>::size(in_channels, out_channels));
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const TileBlock<m> block = blocks[index];
    const std::size_t tiles = block.tiles(), work = tiles * in_channels * out_channels;
    parallel_for(tiles, work, [&](std::size_t tile) {
      transform_input(shape, x, input, block.tile(tile), v,
                      [&](std::size_t c) { return Strips<T>::offset(tiles, tile, c); });
      transform_grad(grad_y, block.tile(tile), tile, tiles, d);
    });
    fill_up_panels(d, tiles, out_channels);
    parallel_for(d.count, work, [&](std::size_t point) {
      multiply_transposed<T>({v[point], tiles, in_channels}, {d[point], tiles, out_channels},
                             Product<T>::in_panels({grad_u[point], in_channels, out_channels}), index > 0);
    });
  }
  parallel_for(in_channels, grad_weight.size(), [&](std::size_t in) {
    transform_kernel_grad(grad_u, in_channels, out_channels, in, grad_weight.data());
  });
}

}  // namespace repopt::nn::engine
