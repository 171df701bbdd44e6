// Every tuned number of the engine: sizes of blocks, tiles and groups, what is prefetched where, and the shapes from
// which another way is faster. The names begin with what they belong to:
//
//     product_    the matrix product: gemm/gemm.hpp
//     patches_    the plain convolution: gemm/gemm_conv.hpp
//     depthwise_  the depthwise convolution: depthwise_conv.hpp
//     winograd_   Winograd's convolutions: conv.hpp, winograd/
//
// An entry gives the unit, then what goes wrong below and above the chosen value, then the reason for the choice.
// A reason without numbers was never measured by itself. After a change, compare `repopt-bench conv`, and expect
// other rounding where a comment says so.
//
// Tuned numbers that are elsewhere: the size of Winograd's tiles (winograd/scheme.hpp) and their interpolation points
// (winograd/transform.hpp), which set the rounding error; how far the microkernel's loop is unrolled
// (REPOPT_UNROLL_BY_4 in tensor/simd.hpp); blocks of sums over pixels (tensor/channel_sums.hpp,
// tensor/channel_moments.hpp); large pages (tensor/allocator.hpp); the work that is worth waking threads
// (base/parallel.hpp).
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>

#include "repopt/core/conv_shape.hpp"
#include "repopt/tensor/simd.hpp"

namespace repopt::nn::engine::blocking {

/// Rows and columns of the tile of c whose sums the microkernel keeps in registers. Unit: rows; columns.
/// Below: an element of a or b that is loaded serves fewer multiply-adds. Above: sums are spilled to memory.
/// Reason: the registers. 12 rows of 2 packets, with 2 packets of b and one of a, take 27 of AVX-512's 32; 6 rows take
/// 15 of the 16 that AVX2 has.
/// @{
inline constexpr std::size_t product_rows = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 12 : 6;
template <class T>
inline constexpr std::size_t product_columns = 2 * Simd<T>::width;
/// @}

/// Depth of a block of a panel, which all rows of a are multiplied by before the next block. Unit: rows of the panel.
/// Below: each tile of c is loaded and stored more often. Above: the block no longer fits the first-level cache beside
/// the rows of a.
/// Reason: in float a block takes 16 KiB with AVX-512 and 8 KiB with AVX2, of a cache of 32 KiB or more. It was 64
/// before the microkernel prefetched.
inline constexpr std::size_t product_depth = 128;

/// Level of the cache that the microkernel prefetches into: the next depth block of a panel if c is overwritten, the
/// next tile of c if the product is added to it. Unit: cache level, 1 or 2.
/// A lower level has the data closer, but it may displace what the running tile uses.
/// Reason: the next tile of c is small and needed at once, so it goes to level 1. A depth block is needed only after
/// all rows of a are done, so it goes to level 2.
/// @{
inline constexpr int product_panel_level = 2;
inline constexpr int product_sum_level = 1;
/// @}

/// Patches (rows of im2col) in a block of the plain convolution's forward pass and backward data. Unit: patches.
/// Below: the kernel's panels pass through the caches more often. Above: the patches leave the second-level cache
/// before the product reads them, and there are fewer blocks for threads to share.
/// Reason: patches of 256 KiB leave half of a second-level cache of 512 KiB to the kernel's panels. The lower limit is
/// eight tiles of rows.
template <class T>
constexpr std::size_t patches_per_block(const ConvShape& shape) {
  constexpr auto bytes = std::size_t(256) * 1024;
  constexpr std::size_t least = 96, most = 512;
  return std::clamp<std::size_t>(bytes / (shape.taps() * shape.in_per_group() * sizeof(T)), least, most);
}

/// The same for backward weight. Changes rounding.
/// Below: the gradients of all weights, which every block adds to, pass through the caches more often. Above: as above.
/// Reason: the sum over a block must be long enough to pay for that pass.
template <class T>
constexpr std::size_t patches_per_backward_weight_block(const ConvShape& shape) {
  constexpr std::size_t least = 256;
  return std::max<std::size_t>(patches_per_block<T>(shape), least);
}

/// Length from which on backward weight gathers its patches in strips of columns instead of rows. Unit: elements of a
/// patch, taps * in_channels / groups.
/// Below: short patches are cut into strips, which costs more than copying whole pixels. Above: the product goes down
/// columns of long rows, where each element is on a page of memory of its own.
/// Reason: 1024 floats are a page of 4 KiB.
inline constexpr std::size_t patches_long = 1024;

/// Output pixels in a block of the depthwise convolution, of which a thread takes one at a time. Unit: pixels.
/// Below: more blocks to measure and merge if moments are wanted. Above: the block leaves the cache before its moments
/// are measured, and there are fewer blocks for threads to share.
/// Reason: not measured. With 64 channels in float a block has 32 KiB. Changes rounding of moments and of backward
/// weight.
inline constexpr std::size_t depthwise_block_pixels = 128;

/// Fewest input and output channels for which Winograd's method computes a 3x3 convolution. Unit: channels.
/// Below: the transforms, whose work grows with the channels, cost more than they save in the products, whose work
/// grows with the channels' square. Above: layers that would gain are computed by the plain convolution. Reason: not
/// measured. Changes rounding.
inline constexpr std::size_t winograd_least_channels = 16;

/// Weights of a tap, in_channels * out_channels, from which on a convolution goes "by channels" instead of "by tiles"
/// (winograd/winograd_conv.hpp explains both). Unit: weights.
/// Below: kernels whose transform a cache holds are transformed again for every block. Above: a transform that no cache
/// holds is read from memory for every block.
/// Reason: the kernel at the points has 36 times as many values, from here on 36 MiB in float and more. Changes
/// rounding.
inline constexpr std::size_t winograd_large_kernel = std::size_t(512) * 512;
constexpr bool is_large_winograd_kernel(const ConvShape& shape) {
  return shape.in_channels * shape.out_channels >= winograd_large_kernel;
}

/// Weights of a tap up to which, in backward weight by tiles, each thread sums a dL/dU of its own. Unit: weights.
/// Below: threads share the steps of each block, which passes data from core to core. Above: a core's dL/dU leaves its
/// cache, and there are more values to add up over the threads.
/// Reason: dL/dU has 36 times as many values, up to 2.25 MiB in float, about what a core's second-level cache holds.
/// Changes rounding, which depends on the number of threads for these kernels.
inline constexpr std::size_t winograd_small_kernel = std::size_t(128) * 128;
constexpr bool is_small_winograd_kernel(const ConvShape& shape) {
  return shape.in_channels * shape.out_channels <= winograd_small_kernel;
}

/// Fewest blocks for each thread with which threads sum a small kernel's dL/dU each for itself. Unit: blocks.
/// Below: the threads' shares of the blocks become unequal. Above: small batches share steps, and pass data from core
/// to core. Reason: not measured. Changes rounding.
inline constexpr std::size_t winograd_blocks_per_thread = 2;

/// Rows of V in a block by tiles: `least`, or more in proportion to the kernel's size, up to `most` at
/// winograd_large_kernel. Unit: rows. A tile is one row at each point; with stride 2, several at some points.
/// Below: U, or dL/dU, passes through a core's cache more often, once for each block. Above: V and the products, or V
/// and D, leave the second-level cache.
constexpr std::size_t winograd_rows_by_tiles(const ConvShape& shape, std::size_t least, std::size_t most) {
  return std::max(least, most * shape.in_channels * shape.out_channels / winograd_large_kernel);
}

/// These rows in the forward pass and in backward data.
/// Reason: 24 rows are two of AVX-512's tiles of the product. V has 36 matrices: with 64 channels, 216 KiB in float,
/// and the products have as much. Changes rounding of the moments.
constexpr std::size_t winograd_forward_rows(const ConvShape& shape) { return winograd_rows_by_tiles(shape, 24, 96); }

/// These rows in backward weight.
/// Reason: a block's V, its D and, of a small kernel, dL/dU stay in the second-level cache. It was 64 rows, and these
/// are fewer because of that. Changes rounding.
constexpr std::size_t winograd_backward_weight_rows(const ConvShape& shape) {
  return winograd_rows_by_tiles(shape, is_small_winograd_kernel(shape) ? 32 : 48, 128);
}

/// The number of blocks of a forward pass by tiles is a multiple of this, if there are tiles enough. Unit: blocks.
/// Below: threads find no block in the last round. Above: blocks are shorter than they should be.
/// Reason: 1, 2 and 4 threads get equal shares. It does not follow the number of threads, because the rounding of the
/// moments depends on the blocks.
inline constexpr std::size_t winograd_forward_blocks = 4;

/// Rows of V in a block by channels. Unit: rows.
/// Below: U, or dL/dU, is transformed more often, once for each block. Above: V leaves the caches: with 512 channels,
/// 256 rows have 18 MiB in float. Reason: not measured. Changes rounding of backward weight.
inline constexpr std::size_t winograd_rows_by_channels = 256;

/// Most output channels in a group by channels, for which a thread makes its part of U or dL/dU. Unit: channels.
/// Below: V passes through a core's cache more often, once for each group. Above: the part leaves the second-level
/// cache: 64 of 512 channels have 4.5 MiB in float, each of the 36 matrices 128 KiB. Reason: not measured.
inline constexpr std::size_t winograd_group_channels = 64;

/// How far ahead y is prefetched when only some channels of each pixel are written. Unit: tiles.
/// Below: the lines arrive late. Above: they may be displaced before they are written.
/// Reason: not measured.
inline constexpr std::size_t winograd_prefetched_tiles = 2;

/// Distance between the starts of two of Winograd's matrices whose elements are `size`. Unit: elements; in float, a
/// line of the cache has 16. Below: the matrices may lie a power of two apart; a row, which is written to all of them
/// at once, then falls into few sets of the cache. Above: memory without use. Reason: whole lines, and three more.
constexpr std::size_t winograd_matrix_distance(std::size_t size) { return (size + 15) / 16 * 16 + 48; }

}  // namespace repopt::nn::engine::blocking
