// Tiles: the squares of output pixels that Winograd's convolutions compute, and blocks of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "repopt/base/parallel.hpp"
#include "repopt/base/prefetch.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/read_into_cache.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// A square of m x m output pixels, of which height x width exist: fewer than m x m at the image's lower and right
/// edge.
struct Tile {
  std::size_t image, top, left, height, width;

  std::size_t first_pixel(const ImageShape& y) const { return (image * y.height + top) * y.width + left; }
};

/// Output channels [first, first + count) of a convolution.
struct OutputChannels {
  std::size_t first, count;
};

/// Consecutive rows of tiles of a batch. Rows of tiles are counted through all images. A row of tiles covers
/// consecutive pixels, and so does a block.
template <std::size_t m>
struct TileBlock {
  ImageShape y;  ///< the shape of the convolution's output
  std::size_t first_row, rows;

  /// All tiles of a batch.
  static TileBlock all(const ImageShape& y) { return {y, 0, y.batch * ((y.height + m - 1) / m)}; }

  /// Number of tiles in a row of tiles, of rows of tiles in an image, and of tiles in the block.
  /// @{
  std::size_t across() const { return (y.width + m - 1) / m; }
  std::size_t down() const { return (y.height + m - 1) / m; }
  std::size_t tiles() const { return rows * across(); }
  /// @}

  /// Tile `index` of this block.
  Tile tile(std::size_t index) const {
    const std::size_t row = first_row + index / across(), top = row % down() * m, left = index % across() * m;
    return {row / down(), top, left, std::min(m, y.height - top), std::min(m, y.width - left)};
  }

  /// Row of tiles `index` of this block, as a block.
  TileBlock row(std::size_t index) const { return {y, first_row + index, 1}; }

  /// The block's first pixel, counted through the batch of y, and its number of pixels.
  /// @{
  std::size_t first_pixel() const { return pixel_of_row(first_row); }
  std::size_t pixels() const { return pixel_of_row(first_row + rows) - first_pixel(); }
  /// @}

 private:
  std::size_t pixel_of_row(std::size_t row) const { return (row / down() * y.height + row % down() * m) * y.width; }
};

/// Reads into the cache the part of `tensor`, an input or output of the convolution, that a block needs: the pixels at
/// the same fraction of the batch as the block's pixels in y. In y these are exactly the block's pixels; other threads
/// may be writing the rest. In other tensors a row of pixels more or less does not matter. Threads share the reading
/// about as they share the tiles.
template <std::size_t m, class T>
void read_part_into_cache(const Tensor<T>& tensor, const TileBlock<m>& block) {
  const auto place = [&](std::uint64_t pixel) {
    return std::size_t(tensor.shape().pixels() * pixel / block.y.pixels());
  };
  parallel_for(block.rows, tensor.size() / block.y.pixels() * block.pixels(), [&](std::size_t index) {
    const TileBlock<m> row = block.row(index);
    const std::size_t begin = place(row.first_pixel()), end = place(row.first_pixel() + row.pixels());
    read_into_cache(tensor.pixel(begin), (end - begin) * tensor.shape().channels);
  });
}

/// Prefetches a tile of y that will soon be written.
template <class T>
void prefetch_tile(const Tensor<T>& y, const Tile& tile, const OutputChannels& channels) {
  const T* const first = y.pixel(tile.first_pixel(y.shape())) + channels.first;
  for (std::size_t i = 0; i < tile.height; ++i)
    for (std::size_t j = 0; j < tile.width; ++j)
      for (std::size_t c = 0; c < channels.count; c += cache_line<T>)
        prefetch<blocking::winograd_prefetch_level>(first + (i * y.shape().width + j) * y.shape().channels + c);
}

/// A batch cut into `count` blocks with about equally many rows of tiles.
template <std::size_t m>
class TileBlocks {
 public:
  /// Makes fewer than `count` blocks if there are fewer rows of tiles.
  TileBlocks(const TileBlock<m>& all, std::size_t count) : all_(all), count_(std::min(all.rows, count)) {}

  std::size_t count() const { return count_; }
  TileBlock<m> operator[](std::size_t block) const {
    const std::size_t first = all_.rows * block / count_;
    return {all_.y, first, all_.rows * (block + 1) / count_ - first};
  }

 private:
  TileBlock<m> all_;
  std::size_t count_;
};

}  // namespace repopt::nn::engine
