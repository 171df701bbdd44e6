// 3x3 convolutions of stride 1 and 2 by Winograd's method. transform.hpp explains its mathematics, scheme.hpp how
// stride 2 uses it.
//
// The convolution becomes matrix products over the channels: one for each pair of interpolation points (below, a
// point), for a block of tiles at a time. A row of V, D and the products belongs to a tile; where several values of a
// tile share a point, it belongs to one of them.
//
//     forward          x (pixels, C) -> V[point][row][C]
//                      products[point][row][K] = V * U[point][C][K] -> y (pixels, K)
//     backward data    the same, for dL/dy and the kernel turned by 180 degrees with its channels swapped
//     backward weight  dL/dU[point][C][K] = sum over blocks of V^T * D[point][row][K] -> dL/dw (3, 3, C, K)
//
// Data that is used again should stay in a cache. "By tiles", U or dL/dU is made once, and the blocks are small. "By
// channels", for a large kernel, the blocks are large, and each block makes U or dL/dU anew, for a few output channels
// at a time; dL/dw is then the sum over the blocks. blocking.hpp has the sizes.
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
#include "repopt/engine/winograd/steps.hpp"
#include "repopt/engine/winograd/tiles.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Whether the functions of this file can compute a convolution of this shape: with stride 1 by the scheme Stride1,
/// with stride 2 by Stride2 and Stride2Adjoint.
constexpr bool is_winograd_shape(const ConvShape& shape) {
  using Pair = std::array<std::size_t, 2>;
  const bool stride_1 = shape.stride == Pair{1, 1} && shape.padding[0] <= 2 && shape.padding[1] <= 2;
  const bool stride_2 = shape.stride == Pair{2, 2} && shape.padding == Pair{1, 1};
  return shape.kernel_size == Pair{3, 3} && shape.dilation == Pair{1, 1} && shape.groups == 1 && (stride_1 || stride_2);
}

/// Cuts a batch's tiles into blocks of about `rows` rows of V or fewer. The number of blocks is a multiple of
/// `multiple`, if there are tiles enough. It does not depend on the number of threads, because rounding depends on the
/// blocks.
template <class Scheme>
TileBlocks<Scheme::outputs> winograd_blocks(const ImageShape& y, std::size_t rows, std::size_t multiple = 1) {
  constexpr std::size_t rows_per_tile = Scheme::values * Scheme::values / (Scheme::points * Scheme::points);
  const auto all = TileBlock<Scheme::outputs>::all(y);
  return {all, (all.tiles() * rows_per_tile + rows * multiple - 1) / (rows * multiple) * multiple};
}

/// Calls visit(channels) in parallel for groups of output channels. A group has at most winograd_group_channels
/// channels, and every group but the last has whole panels. All threads together need as few rounds as possible,
/// and the groups are no larger than that requires. Threads beyond the number of panels find no work. Rounding does not
/// depend on the groups.
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

/// winograd_forward() by tiles: each thread computes whole blocks.
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
    read_part_into_cache(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, in_channels);
    const auto products = multiply_at_points(v, block.tiles(), u, in_channels, out_channels);
    read_part_into_cache(y, block);
    transform_outputs<Scheme>(products, block, all, y);
    block_moments.measure(index, y.pixel(block.first_pixel()), block.pixels(), out_channels);
  });
  block_moments.merge();
}

/// winograd_forward() by channels: each thread computes groups of output channels of a block, with their part of U.
template <class Scheme, class T>
void winograd_forward_by_channels(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                                  const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t in_channels = shape.in_channels, out_channels = shape.out_channels;
  const auto blocks = winograd_blocks<Scheme>(y.shape(), blocking::winograd_rows_by_channels);
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const auto block = blocks[index];
    const std::size_t tiles = block.tiles();
    read_part_into_cache(x, block);
    const auto v = transform_inputs<Scheme>(shape, x, input, block, in_channels);
    for_each_channel_group<T>(out_channels, tiles * weight.size(), [&](const OutputChannels& channels) {
      const auto u = transform_kernels<Scheme>(shape, weight, channels);
      const auto products = multiply_at_points(v, tiles, u, in_channels, channels.count);
      transform_outputs<Scheme>(products, block, channels, y);
    });
  }
  if (moments) moments->measure(y);  // only now do pixels have all their channels
}

/// y = conv(x, weight) with the scheme's stride, and the channels and padding of `shape`. `y` must have its final
/// shape. `input` and `moments` may be null.
template <class Scheme, class T>
void winograd_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                      const InputAffine<T>* input, ChannelMoments* moments) {
  if (blocking::is_large_winograd_kernel(shape))
    winograd_forward_by_channels<Scheme>(shape, x, weight, y, input, moments);
  else
    winograd_forward_by_tiles<Scheme>(shape, x, weight, y, input, moments);
}

/// winograd_backward_weight() by channels: each thread computes groups of output channels of a block, with their part
/// of dL/dU.
template <class Scheme, class T>
void winograd_backward_weight_by_channels(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                                          std::span<T> grad_weight, const InputAffine<T>* input) {
  const auto blocks = winograd_blocks<Scheme>(grad_y.shape(), blocking::winograd_rows_by_channels);
  for (std::size_t index = 0; index < blocks.count(); ++index) {
    const auto block = blocks[index];
    read_part_into_cache(x, block);
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

/// winograd_backward_weight() by tiles. If dL/dU is small enough for the cache of a core and there are blocks enough,
/// each thread has a dL/dU of its own and computes whole blocks. Otherwise there is one dL/dU, and threads share each
/// step of a block.
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
      read_part_into_cache(x, blocks[index]);
      const auto v = transform_inputs<Scheme>(shape, x, input, blocks[index], Strips<T>::panel_width);
      read_part_into_cache(grad_y, blocks[index]);
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

/// grad_weight += dL/dweight, with the scheme's stride, and the channels and padding of `shape`. `input` may be null.
template <class Scheme, class T>
void winograd_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                              std::span<T> grad_weight, const InputAffine<T>* input) {
  if (blocking::is_large_winograd_kernel(shape))
    winograd_backward_weight_by_channels<Scheme>(shape, x, grad_y, grad_weight, input);
  else
    winograd_backward_weight_by_tiles<Scheme>(shape, x, grad_y, grad_weight, input);
}

}  // namespace repopt::nn::engine
