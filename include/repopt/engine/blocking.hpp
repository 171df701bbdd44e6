// Every tuned number of the engine: sizes of blocks, tiles and groups, what is prefetched where, and the shapes from
// which another way is faster. The names begin with the part that they belong to:
//
//     product_    the matrix product: gemm/gemm.hpp
//     patches_    the plain convolution: gemm/gemm_conv.hpp
//     depthwise_  the depthwise convolution: depthwise_conv.hpp
//     winograd_   Winograd's convolutions: conv.hpp, winograd/
//
// Each entry has the unit, the cost of a smaller and of a larger value, and the reason for the value chosen. Where it
// says so, another value also changes the rounding of results.
//
// "Zen 4" is a measurement: one thread of an AMD EPYC (Zen 4, caches of 32 KiB and 1 MiB for each core, 32 MiB for
// all), float, AVX-512, the convolutions of `repopt-bench conv` and larger ones. Its figures are the time with another
// value divided by the time with the chosen one, medians of 15 or 25 rounds in turn. Other programs were running: a
// figure between 0.95 and 1.05 is no difference. Most values were chosen on other processors, so here and there
// another one is better on Zen 4.
//
// Tuned numbers that are elsewhere: the size of Winograd's tiles (winograd/scheme.hpp) and their interpolation points
// (winograd/transform.hpp), which set the rounding error; how far the microkernel's loop is unrolled
// (REPOPT_UNROLL_BY_4 in tensor/simd.hpp); blocks of sums over pixels (tensor/channel_sums.hpp,
// tensor/channel_moments.hpp); large pages (tensor/allocator.hpp); the least work for which threads are woken
// (base/parallel.hpp).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>

#include "repopt/core/conv_shape.hpp"
#include "repopt/tensor/simd.hpp"

namespace repopt::nn::engine::blocking {

/// Rows and columns of the tile of c whose sums the microkernel keeps in registers. Unit: rows; columns.
/// - Smaller: each element of a or b that is loaded serves fewer multiply-adds.
/// - Larger: sums are spilled to memory.
/// - Chosen: by the number of registers. 12 rows of 2 packets, with 2 packets of b and one of a, take 27 of the 32 that
///   AVX-512 has; 6 rows take 15 of AVX2's 16.
/// @{
inline constexpr std::size_t product_rows = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 12 : 6;
template <class T>
inline constexpr std::size_t product_columns = 2 * Simd<T>::width;
/// @}

/// Depth of a block of a panel. All rows of a are multiplied by one block before the next. Unit: rows of the panel.
/// - Smaller: the tiles of c are loaded and stored more often.
/// - Larger: the block does not fit the first-level cache beside the rows of a.
/// - Chosen: in float a block takes 16 KiB with AVX-512 and 8 KiB with AVX2, of 32 KiB or more. It was 64 before the
///   microkernel prefetched. Zen 4, forward, 128 to 512 channels: 32 takes 1.13 to 1.31, 64 takes 1.05 to 1.09; 256
///   and 512 take 0.91 to 0.93 for 512 channels. Backward weight: no difference from 64 on.
inline constexpr std::size_t product_depth = 128;

/// Level of the cache that the microkernel prefetches into: a panel's next block if c is overwritten, c's next tile if
/// the product is added to c. Unit: level, 1 or 2.
/// - Smaller: the data is closer, but may displace data that the present tile uses.
/// - Larger: the data is farther away when it is needed.
/// - Chosen: c's next tile is small and needed at once. The next block is needed after all rows of a.
/// @{
inline constexpr int product_panel_level = 2;
inline constexpr int product_sum_level = 1;
/// @}

/// Patches (rows of im2col) in a block of the plain convolution's forward pass and backward data. Unit: patches; the
/// limit is in bytes. Rounding of the moments depends on it.
/// - Smaller: the kernel's panels pass through the caches more often.
/// - Larger: the patches leave the second-level cache before the product reads them, and threads share fewer blocks.
/// - Chosen: 256 KiB are half of a small second-level cache, of 512 KiB; 96 patches are eight tiles of 12 rows. Zen 4,
///   stride 1, 64 to 512 channels: no difference for 64 KiB to 1 MiB, nor for 32 to 192 and 128 to 2048 patches.
template <class T>
constexpr std::size_t patches_per_block(const ConvShape& shape) {
  constexpr auto bytes = std::size_t(256) * 1024;
  constexpr std::size_t least = 96, most = 512;
  return std::clamp<std::size_t>(bytes / (shape.taps() * shape.in_per_group() * sizeof(T)), least, most);
}

/// Patches in a block of the plain convolution's backward weight. Unit: patches. Rounding depends on it.
/// - Smaller: the gradients of all weights, to which each block adds, pass through the caches more often.
/// - Larger: as in patches_per_block().
/// - Chosen: a block's sums must be long enough to pay for that pass. Zen 4, 512 channels: at least 96 takes 1.13.
template <class T>
constexpr std::size_t patches_per_backward_weight_block(const ConvShape& shape) {
  constexpr std::size_t least = 256;
  return std::max<std::size_t>(patches_per_block<T>(shape), least);
}

/// Length of patches from which on backward weight gathers them in strips of columns instead of rows. Unit: elements of
/// a patch, which has taps * in_channels / groups.
/// - Smaller: short patches are cut into strips, too, which costs more than copying whole pixels.
/// - Larger: the product goes down the columns of long rows, where each element is on another page of memory.
/// - Chosen: 1024 floats fill a page of 4 KiB. Zen 4: strips for patches of 576 elements take 1.07 to 1.11, rows for
///   patches of 4608 elements take 1.32.
inline constexpr std::size_t patches_long = 1024;

/// Output pixels in a block of the depthwise convolution. Unit: pixels. Rounding of the moments and of backward weight
/// depends on it.
/// - Smaller: more blocks are measured and merged if moments are wanted.
/// - Larger: a block leaves the cache before its moments are measured, and threads share fewer blocks.
/// - Chosen: with 64 channels in float a block has 32 KiB. Not measured.
inline constexpr std::size_t depthwise_block_pixels = 128;

/// Fewest input and output channels for which Winograd's method computes a 3x3 convolution. Unit: channels. Rounding
/// depends on it.
/// - Smaller: the transforms, whose work grows with the channels, cost more than they save in the products, whose work
///   grows with the channels' square.
/// - Larger: layers that would gain are computed by the plain convolution.
/// - Chosen: Zen 4, stride 1: the plain convolution takes 1.8 to 4 for 16 to 32 channels; for 8 and 12 channels,
///   Winograd's method would take about 0.6. Stride 2: plain takes 1.3 and more for 16 channels; Winograd's would take
///   1.2 to 1.4 for 8.
inline constexpr std::size_t winograd_least_channels = 16;

/// Weights of a tap, in_channels * out_channels, from which on a convolution goes "by channels" instead of "by tiles"
/// (winograd/winograd_conv.hpp explains both). Unit: weights. Rounding of backward weight and of the moments depends on
/// it.
/// - Smaller: kernels whose transform fits a cache are transformed again for every block.
/// - Larger: a transform that fits no cache is read from memory for every block.
/// - Chosen: the transform has 36 times as many values, 36 MiB in float for 512 x 512. Zen 4: 384 x 384 by channels
///   takes 1.25 (backward weight 1.1), 512 x 512 by tiles takes 0.88 to 0.93 (0.94 to 0.99), 1024 x 1024 by tiles takes
///   1.44 (1.21).
inline constexpr std::size_t winograd_large_kernel = std::size_t(512) * 512;
constexpr bool is_large_winograd_kernel(const ConvShape& shape) {
  return shape.in_channels * shape.out_channels >= winograd_large_kernel;
}

/// Weights of a tap up to which, in backward weight by tiles, each thread sums a dL/dU of its own. Unit: weights.
/// Rounding depends on it, and for kernels up to this size also on the number of threads.
/// - Smaller: threads share the steps of each block, which passes data from core to core.
/// - Larger: a core's dL/dU leaves its cache, and the threads' sums have more values to add up.
/// - Chosen: dL/dU of 128 x 128 has 2.25 MiB in float, about as much as a core's second-level cache. Not measured.
inline constexpr std::size_t winograd_small_kernel = std::size_t(128) * 128;
constexpr bool is_small_winograd_kernel(const ConvShape& shape) {
  return shape.in_channels * shape.out_channels <= winograd_small_kernel;
}

/// Fewest blocks for each thread with which each thread sums a small kernel's dL/dU of its own. Unit: blocks. Rounding
/// depends on it.
/// - Smaller: the threads' shares of the blocks become unequal.
/// - Larger: smaller batches share the steps of each block, which passes data from core to core.
/// - Chosen: by reasoning. Not measured.
inline constexpr std::size_t winograd_blocks_per_thread = 2;

/// Rows of V in a block by tiles: `least`, or more in proportion to the kernel's size, up to `most` for a kernel of
/// winograd_large_kernel. Unit: rows. A tile has one row at each point; with stride 2, several rows at some points.
/// - Smaller: U, or dL/dU, passes through a core's cache more often, since it does so once for each block.
/// - Larger: the block's V and its products, or V and D, leave the second-level cache.
constexpr std::size_t winograd_rows_by_tiles(const ConvShape& shape, std::size_t least, std::size_t most) {
  return std::max(least, most * shape.in_channels * shape.out_channels / winograd_large_kernel);
}

/// winograd_rows_by_tiles() of the forward pass and backward data. Rounding of the moments depends on it.
/// - Chosen: 24 rows are two of AVX-512's tiles of the product; with 64 channels in float, V has 216 KiB, and the
///   products have as much. Zen 4, 64 to 256 channels: at least 12 makes no difference, 48 takes 1.01 to 1.07, 96 takes
///   1.04 to 1.19.
constexpr std::size_t winograd_forward_rows(const ConvShape& shape) { return winograd_rows_by_tiles(shape, 24, 96); }

/// winograd_rows_by_tiles() of backward weight. Rounding depends on it.
/// - Chosen: a block's V and D and a small dL/dU stay in the second-level cache; that was the reason to change 64 into
///   32 and 48. Zen 4: 16 and 24 take 1.01 to 1.14; 64 takes 0.94 to 0.97 for small kernels.
constexpr std::size_t winograd_backward_weight_rows(const ConvShape& shape) {
  return winograd_rows_by_tiles(shape, is_small_winograd_kernel(shape) ? 32 : 48, 128);
}

/// A forward pass by tiles has a multiple of so many blocks, if there are tiles enough. Unit: blocks. Rounding of the
/// moments depends on it.
/// - Smaller: some threads find no block in the last round.
/// - Larger: blocks are shorter than winograd_forward_rows().
/// - Chosen: 1, 2 and 4 threads get equal shares. It does not depend on the number of threads, so that the rounding
///   does not either.
inline constexpr std::size_t winograd_forward_blocks = 4;

/// Rows of V in a block by channels. Unit: rows. Rounding of backward weight depends on it.
/// - Smaller: U, or dL/dU, is transformed more often, since it is once for each block.
/// - Larger: V leaves the caches. With 512 channels in float, 256 rows have 18 MiB.
/// - Chosen: Zen 4, 512 channels: 96 takes 1.02 to 1.07; 128, 512 and 1024 make no difference.
inline constexpr std::size_t winograd_rows_by_channels = 256;

/// Most output channels in a group by channels. A thread makes U or dL/dU of one group at a time. Unit: channels.
/// - Smaller: V passes through a core's cache more often, since it does so once for each group.
/// - Larger: the matrices of U or dL/dU leave the second-level cache. For 512 input channels and a group of 64 in
///   float, each of the 36 has 128 KiB.
/// - Chosen: Zen 4: 32 takes 1.05 to 1.16 for 512 channels; 128 takes 0.89 to 0.93 for 512 channels and 0.97 to 0.98
///   for 1024; 256 takes 0.85 to 0.93 for 512 and 1.04 to 1.08 for 1024.
inline constexpr std::size_t winograd_group_channels = 64;

/// How far ahead y is prefetched when only some channels of each pixel are written, and into which level of the cache.
/// Unit: tiles; level, 1 or 2.
/// - Smaller: the lines arrive late; they displace other data of the first level.
/// - Larger: the lines may be displaced before they are written; they are farther away when they are.
/// - Chosen: Zen 4, 512 and 1024 channels: 1, 4, 8 tiles and no prefetch at all make no difference. The level was not
///   measured.
/// @{
inline constexpr std::size_t winograd_prefetched_tiles = 2;
inline constexpr int winograd_prefetch_level = 2;
/// @}

/// Distance between the starts of two of Winograd's matrices, where the first has `size` elements. Unit: elements; 16
/// floats are a line of the cache.
/// - Smaller: a row is written to all matrices at once. If they lie a power of two apart, the writes fall into few sets
///   of the cache.
/// - Larger: memory is wasted.
/// - Chosen: whole lines, and a gap of three more. Zen 4, 64 and 128 channels: no gap takes 1.04 to 1.06; gaps of one
///   and five lines make no difference.
constexpr std::size_t winograd_matrix_distance(std::size_t size) {
  constexpr std::size_t line = 16, gap = 48;
  return (size + line - 1) / line * line + gap;
}

}  // namespace repopt::nn::engine::blocking
