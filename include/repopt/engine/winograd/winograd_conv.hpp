// 3x3 convolutions of stride 1 and 2 by Winograd's method: the mathematics are in winograd_transform.hpp, what stride 2
// makes of it in winograd_scheme.hpp.
//
// At each pair of points the convolution is a matrix product over the channels, for a block of tiles at a time. A row
// is a tile, or one of a tile's values that share a point.
//
//     forward          x (pixels, C) -> V[point][row][C]
//                      products[point][row][K] = V * U[point][C][K] -> y (pixels, K)
//     backward data    the same, for dL/dy and the kernel turned by 180 degrees with its channels swapped
//     backward weight  dL/dU[point][C][K] = sum over blocks of V^T * D[point][row][K] -> dL/dw (3, 3, C, K)
//
// What is used again should stay in a cache. "By tiles", U or dL/dU exists once, and the blocks are small. "By
// channels", for a large kernel, the blocks are large, and U or dL/dU exists for a few output channels at a time, anew
// for each block; dL/dw is summed over the blocks then.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/gemm/gemm.hpp"
#include "repopt/engine/scratch.hpp"
#include "repopt/engine/winograd/matrices.hpp"
#include "repopt/engine/winograd/scheme.hpp"
#include "repopt/engine/winograd/steps.hpp"
#include "repopt/engine/winograd/tiles.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Whether the functions of this file compute a convolution of this shape: by Stride1, or by Stride2 and
/// Stride2Adjoint.
constexpr bool is_winograd_shape(const ConvShape& shape) {
  using Pair = std::array<std::size_t, 2>;
  const bool stride_1 = shape.stride == Pair{1, 1} && shape.padding[0] <= 2 && shape.padding[1] <= 2;
  const bool stride_2 = shape.stride == Pair{2, 2} && shape.padding == Pair{1, 1};
  return shape.kernel_size == Pair{3, 3} && shape.dilation == Pair{1, 1} && shape.groups == 1 && (stride_1 || stride_2);
}

/// A batch's tiles in blocks of about `rows` rows of V or less; where the tiles suffice, in a multiple of `multiple`
/// blocks. (The number of threads does not matter here: rounding depends on the blocks.)
template <class Scheme>
TileBlocks<Scheme::outputs> winograd_blocks(const ImageShape& y, std::size_t rows, std::size_t multiple = 1) {
  constexpr std::size_t rows_per_tile = Scheme::values * Scheme::values / (Scheme::points * Scheme::points);
  const auto all = TileBlock<Scheme::outputs>::all(y);
  return {all, (all.tiles() * rows_per_tile + rows * multiple - 1) / (rows * multiple) * multiple};
}

/// visit(channels) for groups of at most 64 output channels, whole panels but for the last, in parallel: in as few
/// rounds as possible, of groups no larger than these need. More threads than panels find no work. (Rounding does not
/// depend on the groups.)
template <class T>
void for_each_channel_group(std::size_t out_channels, std::size_t work, auto visit) {
  constexpr std::size_t panel = Panels<T>::panel_width, most = blocking::winograd_group_channels;
  const auto quotient = [](std::size_t all, std::size_t part) { return (all + part - 1) / part; };  // rounded up
  const std::size_t rounds = quotient(quotient(out_channels, most), thread_count());
  const std::size_t size = quotient(quotient(out_channels, rounds * thread_count()), panel) * panel;
  parallel_for(quotient(out_channels, size), work, [&](std::size_t group) {
    visit(OutputChannels{group * size, std::min(size, out_channels - group * size)});
  });
}

/// winograd_forward() by tiles: each thread takes blocks.
template <class Scheme, class T>
void winograd_forward_by_tiles(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                               const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const OutputChannels all{0, out_channels};
  const auto u = transform_kernels<Scheme>(shape, weight, all);
  const auto blocks =
      winograd_blocks<Scheme>(y.shape(), blocking::winograd_forward_rows(shape), blocking::winograd_forward_blocks);
  const BlockMoments block_moments(moments, blocks.count());
  parallel_for(blocks.count(), y.size() * in_channels, [&](std::size_t index) {
    const auto block = blocks[index];
    fetch_part_of(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, in_channels);
    const auto products = multiply_at_points(v, block.tiles(), u, in_channels, out_channels);
    fetch_part_of(y, block);
    transform_outputs<Scheme>(products, block, all, y);
    block_moments.measure(index, y.pixel(block.first_pixel()), block.pixels(), out_channels);
  });
  block_moments.merge();
}

/// winograd_forward() by channels: each thread takes groups of them, with their part of U.
template <class Scheme, class T>
void winograd_forward_by_channels(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                                  const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const auto blocks = winograd_blocks<Scheme>(y.shape(), blocking::winograd_rows_by_channels);
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const auto block = blocks[index];
    const std::size_t tiles = block.tiles();
    fetch_part_of(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, in_channels);
    for_each_channel_group<T>(out_channels, tiles * weight.size(), [&](const OutputChannels& channels) {
      const auto u = transform_kernels<Scheme>(shape, weight, channels);
      const auto products = multiply_at_points(v, tiles, u, in_channels, channels.count);
      transform_outputs<Scheme>(products, block, channels, y);
    });
  }
  if (moments) moments->measure(y);  // now that every pixel has all its channels
}

/// y = conv(x, weight) for `shape`'s channels and padding, and the scheme's stride.
template <class Scheme, class T>
void winograd_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                      const InputAffine<T>* input, ChannelMoments* moments) {
  if (blocking::is_large_winograd_kernel(shape))
    winograd_forward_by_channels<Scheme>(shape, x, weight, y, input, moments);
  else
    winograd_forward_by_tiles<Scheme>(shape, x, weight, y, input, moments);
}

/// winograd_backward_weight() by channels: each thread takes groups of them, with their part of dL/dU.
template <class Scheme, class T>
void winograd_backward_weight_by_channels(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                                          std::span<T> grad_weight, const InputAffine<T>* input) {
  const auto blocks = winograd_blocks<Scheme>(grad_y.shape(), blocking::winograd_rows_by_channels);
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const auto block = blocks[index];
    fetch_part_of(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, Strips<T>::panel_width);
    for_each_channel_group<T>(
        shape.out_channels, block.tiles() * grad_weight.size(), [&](const OutputChannels& channels) {
          const auto d = transform_grads<Scheme>(grad_y, block, channels);
          const auto grad_u = KernelMatrices<Scheme, T>::template allocate<Scratch::kernel_at_points>(
              shape.in_channels, channels.count, Panels<T>::panel_width);
          multiply_transposed_at_points(v, block.tiles(), shape.in_channels, d, channels.count, grad_u, false);
          transform_kernel_grads(grad_u, shape, channels, grad_weight);
        });
  }
}

/// winograd_backward_weight() by tiles. A small dL/dU stays in the cache of a core; so, where there are blocks enough,
/// each thread has one, and blocks of its own, whose steps run in order. Else there is one, and threads share each
/// step.
template <class Scheme, class T>
void winograd_backward_weight_by_tiles(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                                       std::span<T> grad_weight, const InputAffine<T>* input) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const OutputChannels all{0, out_channels};
  const auto blocks = winograd_blocks<Scheme>(grad_y.shape(), blocking::winograd_backward_weight_rows(shape));
  if (blocks.count() == 0) return;
  const auto add = [&](std::size_t begin, std::size_t end, std::span<T> sum) {
    const auto grad_u = KernelMatrices<Scheme, T>::template allocate<Scratch::kernel_at_points>(
        in_channels, out_channels, Panels<T>::panel_width);
    for (std::size_t index = begin; index < end; ++index) {
      fetch_part_of(x, blocks[index]);
      const auto v = transform_inputs<Scheme>(shape, x, input, blocks[index], Strips<T>::panel_width);
      fetch_part_of(grad_y, blocks[index]);
      const auto d = transform_grads<Scheme>(grad_y, blocks[index], all);
      multiply_transposed_at_points(v, blocks[index].tiles(), in_channels, d, out_channels, grad_u, index > begin);
    }
    transform_kernel_grads(grad_u, shape, all, sum);
  };
  const std::size_t parts = blocking::is_small_winograd_kernel(shape) &&
                                    blocks.count() >= blocking::winograd_blocks_per_thread * thread_count()
                                ? thread_count()
                                : 1;
  sum_over_ranges<T>(blocks.count(), parts, grad_y.size() * in_channels, grad_weight, add);
}

/// grad_weight += dL/dweight, for `shape`'s channels and padding, and the scheme's stride.
template <class Scheme, class T>
void winograd_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                              std::span<T> grad_weight, const InputAffine<T>* input) {
  if (blocking::is_large_winograd_kernel(shape))
    winograd_backward_weight_by_channels<Scheme>(shape, x, grad_y, grad_weight, input);
  else
    winograd_backward_weight_by_tiles<Scheme>(shape, x, grad_y, grad_weight, input);
}

}  // namespace repopt::nn::engine
