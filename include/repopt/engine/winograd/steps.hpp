// The steps of Winograd's convolutions, each for a block of tiles, for some of the output channels, or for both.
// winograd_conv.hpp calls them in order. Each step is parallel; inside another parallel loop it runs serially.
//
// U (the kernel at the points), D (dL/dy at the points) and the products are stored in the panels of gemm.hpp. So U and
// D are right factors as they are, and a tile of the products is one piece of memory. V (x at the points) is row-major
// in the forward pass and in strips in backward weight.
#pragma once

#include <cstddef>
#include <span>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/gemm/gemm.hpp"
#include "repopt/engine/scratch.hpp"
#include "repopt/engine/winograd/matrices.hpp"
#include "repopt/engine/winograd/tiles.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Writes zeros into the columns that fill up the last panel of each matrix.
template <class Scheme, class T, bool has_copies>
void fill_up_panels(const PointMatrices<Scheme, T, has_copies>& matrices, std::size_t columns) {
  if (columns % Panels<T>::panel_width == 0) return;
  for (std::size_t point = 0; point < matrices.count; ++point)
    Panels<T>{matrices[point], matrices.rows(point), columns}.fill_up();
}

/// U for some output channels.
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

/// V of a block, in panels of `width` columns. `input` may be null.
template <class Scheme, class T>
TileMatrices<Scheme, T> transform_inputs(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input,
                                         const TileBlock<Scheme::outputs>& block, std::size_t width) {
  const auto v =
      TileMatrices<Scheme, T>::template allocate<Scratch::input_at_points>(block.tiles(), shape.in_channels, width);
  parallel_for(block.tiles(), block.tiles() * Scheme::values * Scheme::values * shape.in_channels,
               [&](std::size_t tile) { transform_input(shape, x, input, block.tile(tile), tile, v); });
  return v;
}

/// D of a block for some output channels.
template <class Scheme, class T>
TileMatrices<Scheme, T> transform_grads(const Tensor<T>& grad_y, const TileBlock<Scheme::outputs>& block,
                                        const OutputChannels& channels) {
  const auto d = TileMatrices<Scheme, T>::template allocate<Scratch::products_at_points>(block.tiles(), channels.count,
                                                                                         Panels<T>::panel_width);
  parallel_for(block.tiles(), block.tiles() * Scheme::values * Scheme::values * channels.count,
               [&](std::size_t tile) { transform_grad(grad_y, block.tile(tile), tile, channels, d); });
  fill_up_panels(d, channels.count);
  return d;
}

/// The products V * U of a block; V is row-major.
template <class Scheme, class T>
TileMatrices<Scheme, T> multiply_at_points(const TileMatrices<Scheme, T>& v, std::size_t tiles,
                                           const KernelMatrices<Scheme, T>& u, std::size_t in_channels,
                                           std::size_t out_channels) {
  const auto products = TileMatrices<Scheme, T>::template allocate<Scratch::products_at_points>(tiles, out_channels,
                                                                                                Panels<T>::panel_width);
  parallel_for(u.count, tiles * in_channels * out_channels, [&](std::size_t point) {
    multiply<T>({v[point], in_channels, 1}, v.rows(point), {u[point], in_channels, out_channels},
                Product<T>::in_panels({products[point], v.rows(point), out_channels}), false);
  });
  return products;
}

/// Computes y of a block for some output channels from its products.
template <class Scheme, class T>
void transform_outputs(const TileMatrices<Scheme, T>& products, const TileBlock<Scheme::outputs>& block,
                       const OutputChannels& channels, Tensor<T>& y) {
  constexpr std::size_t ahead = blocking::winograd_prefetched_tiles;
  const std::size_t tiles = block.tiles();
  // A caller that computes whole pixels calls read_part_into_cache(); pieces of pixels are prefetched here.
  const bool in_pieces = channels.count < y.shape().channels;
  parallel_for(tiles, tiles * Scheme::values * Scheme::values * channels.count, [&](std::size_t tile) {
    if (in_pieces && tile + ahead < tiles) prefetch_tile(y, block.tile(tile + ahead), channels);
    transform_output(products, block.tile(tile), tile, channels, y);
  });
}

/// Splits the points into `parts` parts with about equally many rows, and calls visit(point) for those of part `part`.
template <class Scheme, class T>
void for_each_point_of_part(const TileMatrices<Scheme, T>& matrices, std::size_t part, std::size_t parts, auto visit) {
  std::size_t all_rows = 0;
  for (std::size_t point = 0; point < matrices.count; ++point) all_rows += matrices.rows(point);
  for (std::size_t point = 0, first_row = 0; point < matrices.count; first_row += matrices.rows(point++))
    if (first_row * parts / all_rows == part) visit(point);
}

/// dL/dU = V^T * D of a block, or += if `accumulate`; V is in strips. It is computed panel by panel, so that dL/dU,
/// which may not be in a cache, is passed through in the order of memory.
template <class Scheme, class T>
void multiply_transposed_at_points(const TileMatrices<Scheme, T>& v, std::size_t tiles, std::size_t in_channels,
                                   const TileMatrices<Scheme, T>& d, std::size_t out_channels,
                                   const KernelMatrices<Scheme, T>& grad_u, bool accumulate) {
  const std::size_t parts = thread_count();
  parallel_for(parts, tiles * in_channels * out_channels, [&](std::size_t part) {
    for_each_point_of_part(v, part, parts, [&](std::size_t point) {
      const Strips<T> strips{v[point], v.rows(point), in_channels};
      const Panels<T> panels{d[point], d.rows(point), out_channels}, sums{grad_u[point], in_channels, out_channels};
      for (std::size_t index = 0; index < panels.count(); ++index)
        multiply_transposed(strips, panels.panel(index), Product<T>::in_panels(sums.panel(index)), accumulate);
    });
  });
}

/// Adds the contribution of dL/dU of some output channels to dL/dw.
template <class Scheme, class T>
void transform_kernel_grads(const KernelMatrices<Scheme, T>& grad_u, const ConvShape& shape,
                            const OutputChannels& channels, std::span<T> grad_weight) {
  parallel_for(shape.in_channels, shape.taps() * shape.in_channels * channels.count,
               [&](std::size_t in) { transform_kernel_grad(grad_u, shape, in, channels, grad_weight.data()); });
}

}  // namespace repopt::nn::engine
