// Cutting a batch of images into the tiles of Winograd's convolutions.
#pragma once

#include <algorithm>
#include <cstddef>

#include "repopt/nn/tensor.hpp"

namespace repopt::nn::engine {

/// A square of m x m output pixels; at the image's lower and right edge only height x width of them exist.
struct Tile {
  std::size_t image, top, left, height, width;
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

  std::size_t first_pixel() const { return pixel_of_row(first_row); }
  std::size_t pixels() const { return pixel_of_row(first_row + rows) - first_pixel(); }

 private:
  std::size_t pixel_of_row(std::size_t row) const { return (row / down() * y.height + row % down() * m) * y.width; }
};

/// A batch cut into blocks of at most `tiles` tiles, but at least one row of them.
template <std::size_t m>
class TileBlocks {
 public:
  TileBlocks(const TileBlock<m>& all, std::size_t tiles)
      : all_(all), rows_per_block_(std::max<std::size_t>(1, tiles / all.across())) {}

  std::size_t count() const { return (all_.rows + rows_per_block_ - 1) / rows_per_block_; }
  std::size_t most_tiles() const { return std::min(all_.rows, rows_per_block_) * all_.across(); }
  TileBlock<m> operator[](std::size_t block) const {
    const std::size_t first = block * rows_per_block_;
    return {all_.y, first, std::min(rows_per_block_, all_.rows - first)};
  }

 private:
  TileBlock<m> all_;
  std::size_t rows_per_block_;
};

}  // namespace repopt::nn::engine
