// Cutting a batch of images into the tiles of Winograd's convolutions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "repopt/base/parallel.hpp"
#include "repopt/base/prefetch.hpp"
#include "repopt/engine/fetch.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// A square of m x m output pixels; at the image's lower and right edge only height x width of them exist.
struct Tile {
  std::size_t image, top, left, height, width;

  std::size_t first_pixel(const ImageShape& y) const { return (image * y.height + top) * y.width + left; }
};

/// Some of a convolution's output channels.
struct OutputChannels {
  std::size_t first, count;
};

/// The tiles of consecutive rows of tiles of a batch: rows of tiles run through image after image, and each covers
/// consecutive pixels.
template <std::size_t m>
struct TileBlock {
  ImageShape y;  ///< of the convolution's output
  std::size_t first_row, rows;

  /// All of a batch.
  static TileBlock all(const ImageShape& y) { return {y, 0, y.batch * ((y.height + m - 1) / m)}; }

  std::size_t across() const { return (y.width + m - 1) / m; }
  std::size_t down() const { return (y.height + m - 1) / m; }
  std::size_t tiles() const { return rows * across(); }

  Tile tile(std::size_t index) const {
    const std::size_t row = first_row + index / across(), top = row % down() * m, left = index % across() * m;
    return {row / down(), top, left, std::min(m, y.height - top), std::min(m, y.width - left)};
  }

  /// One of its rows of tiles.
  TileBlock row(std::size_t index) const { return {y, first_row + index, 1}; }

  std::size_t first_pixel() const { return pixel_of_row(first_row); }
  std::size_t pixels() const { return pixel_of_row(first_row + rows) - first_pixel(); }

 private:
  std::size_t pixel_of_row(std::size_t row) const { return (row / down() * y.height + row % down() * m) * y.width; }
};

/// Fetches the part of `tensor` that a block is computed from, or to: as far in it as the block's pixels in y, whatever
/// the images' sizes. That is exact in y, of which other threads may write the rest; elsewhere a row of pixels more or
/// less does not matter. Threads share it about as they share the tiles.
template <std::size_t m, class T>
void fetch_part_of(const Tensor<T>& tensor, const TileBlock<m>& block) {
  const auto place = [&](std::uint64_t pixel) {
    return std::size_t(tensor.shape().pixels() * pixel / block.y.pixels());
  };
  parallel_for(block.rows, tensor.size() / block.y.pixels() * block.pixels(), [&](std::size_t index) {
    const TileBlock<m> row = block.row(index);
    const std::size_t begin = place(row.first_pixel()), end = place(row.first_pixel() + row.pixels());
    fetch(tensor.pixel(begin), (end - begin) * tensor.shape().channels);
  });
}

/// Asks for a tile of y that is soon written.
template <class T>
void prefetch_tile(const Tensor<T>& y, const Tile& tile, const OutputChannels& channels) {
  const T* const first = y.pixel(tile.first_pixel(y.shape())) + channels.first;
  for (std::size_t i = 0; i < tile.height; ++i)
    for (std::size_t j = 0; j < tile.width; ++j)
      for (std::size_t c = 0; c < channels.count; c += cache_line<T>)
        prefetch<2>(first + (i * y.shape().width + j) * y.shape().channels + c);
}

/// A batch cut into `count` blocks of about as many rows of tiles each.
template <std::size_t m>
class TileBlocks {
 public:
  /// At most one block for each row.
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
