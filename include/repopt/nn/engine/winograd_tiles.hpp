// Between images and Winograd's point matrices: cutting a batch into tiles, and the four transforms of a tile or
// kernel.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/engine/gemm.hpp"
#include "repopt/nn/engine/input_affine.hpp"
#include "repopt/nn/engine/simd.hpp"
#include "repopt/nn/engine/winograd_transform.hpp"
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

/// One matrix for each of the points x points pairs of points. They lie a little more than their size apart: a tile's
/// values at all points are written together, and must not fall into one set of the cache.
template <std::size_t m, class T>
class PointMatrices {
 public:
  static constexpr std::size_t count = (m + 2) * (m + 2);

  static constexpr std::size_t size(std::size_t matrix_size) { return count * distance(matrix_size); }

  /// `data` holds size(matrix_size) elements.
  PointMatrices(T* data, std::size_t matrix_size) : data_(data), distance_(distance(matrix_size)) {}

  T* operator[](std::size_t point) const { return data_ + point * distance_; }

  /// Takes or gives the packet at element `offset` of the matrix of points i, j.
  auto store_at(std::size_t offset) const {
    return [to = data_ + offset, step = distance_]<class Packet>(std::size_t i, std::size_t j, const Packet& value) {
      Eigen::internal::pstoreu(to + (i * (m + 2) + j) * step, value);
    };
  }
  template <class Packet>
  auto load_at(std::size_t offset) const {
    return [from = data_ + offset, step = distance_](std::size_t i, std::size_t j) {
      return Eigen::internal::ploadu<Packet>(from + (i * (m + 2) + j) * step);
    };
  }

 private:
  static constexpr std::size_t distance(std::size_t matrix_size) { return (matrix_size + 15) / 16 * 16 + 48; }

  T* data_;
  std::size_t distance_;
};

/// A tile of x, as `input` makes it, with its border, at the points: its channel c goes to element offset(c) of V's
/// matrices.
template <bool has_input, std::size_t m, class T>
void transform_input(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input, const Tile& tile,
                     const PointMatrices<m, T>& v, auto offset) {
  constexpr std::size_t points = m + 2;
  const ImageShape& image = x.shape();
  const T* pixels[points * points];  // null: outside of the image
  for (std::size_t i = 0; i < points; ++i)
    for (std::size_t j = 0; j < points; ++j) {
      // Unsigned: what lies above or left of the image wraps around to far below or right of it.
      const std::size_t row = tile.top + i - shape.padding[0], column = tile.left + j - shape.padding[1];
      pixels[i * points + j] = row < image.height && column < image.width
                                   ? x.pixel((tile.image * image.height + row) * image.width + column)
                                   : nullptr;
    }
  for_each_packet<T>(image.channels, [&]<class Packet>(std::size_t c) {
    to_points_2d<winograd_input<m>, Packet>(
        [&](std::size_t i, std::size_t j) {
          if (!pixels[i * points + j]) return zero<Packet>();
          const T* const from = pixels[i * points + j] + c;
          if (j >= points - m) prefetch(from + m * image.channels);  // the next tile's, which share the others
          const Packet value = Eigen::internal::ploadu<Packet>(from);
          if constexpr (has_input) return input->apply(value, c);
          return value;
        },
        v.store_at(offset(c)));
  });
}

/// The same, with `input` or, if it is null, without.
template <std::size_t m, class T>
void transform_input(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input, const Tile& tile,
                     const PointMatrices<m, T>& v, auto offset) {
  if (input)
    transform_input<true>(shape, x, input, tile, v, offset);
  else
    transform_input<false>(shape, x, input, tile, v, offset);
}

/// Row `index` of D, matrices (tiles, channels) in panels of depth `tiles`: a tile of dL/dy at the points.
template <std::size_t m, class T>
void transform_grad(const Tensor<T>& grad_y, const Tile& tile, std::size_t index, std::size_t tiles,
                    const PointMatrices<m, T>& d) {
  const ImageShape& y = grad_y.shape();
  const T* const from = grad_y.pixel((tile.image * y.height + tile.top) * y.width + tile.left);
  for_each_packet<T>(y.channels, [&]<class Packet>(std::size_t c) {
    to_points_2d<winograd_output<m>, Packet>(
        [&](std::size_t i, std::size_t j) {
          return i < tile.height && j < tile.width
                     ? Eigen::internal::ploadu<Packet>(from + (i * y.width + j) * y.channels + c)
                     : Eigen::internal::pset1<Packet>(T(0));
        },
        d.store_at(Panels<T>::offset(tiles, index, c)));
  });
}

/// A tile of y, from row `index` of the products, matrices (tiles, channels) in panels.
template <std::size_t m, class T>
void transform_output(const PointMatrices<m, T>& products, const Tile& tile, std::size_t index, std::size_t tiles,
                      Tensor<T>& y_tensor) {
  const ImageShape& y = y_tensor.shape();
  T* const to = y_tensor.pixel((tile.image * y.height + tile.top) * y.width + tile.left);
  for_each_packet<T>(y.channels, [&]<class Packet>(std::size_t c) {
    from_points_2d<winograd_output<m>, Packet>(products.template load_at<Packet>(Panels<T>::offset(tiles, index, c)),
                                               [&](std::size_t i, std::size_t j, const Packet& value) {
                                                 if (i < tile.height && j < tile.width)
                                                   Eigen::internal::pstoreu(to + (i * y.width + j) * y.channels + c,
                                                                            value);
                                               });
  });
}

/// Row `in` of U, matrices (in_channels, out_channels) in panels: the kernel (3, 3, in_channels, out_channels) at the
/// points.
template <std::size_t m, class T>
void transform_kernel(const T* weight, std::size_t in_channels, std::size_t out_channels, std::size_t in,
                      const PointMatrices<m, T>& u) {
  for_each_packet<T>(out_channels, [&]<class Packet>(std::size_t out) {
    to_points_2d<winograd_kernel<m>, Packet>(
        [&](std::size_t i, std::size_t j) {
          return Eigen::internal::ploadu<Packet>(weight + ((3 * i + j) * in_channels + in) * out_channels + out);
        },
        u.store_at(Panels<T>::offset(in_channels, in, out)));
  });
}

/// Row `in` of dL/dw (3, 3, in_channels, out_channels) += what dL/dU, matrices (in_channels, out_channels), makes of
/// it.
template <std::size_t m, class T>
void transform_kernel_grad(const PointMatrices<m, T>& grad_u, std::size_t in_channels, std::size_t out_channels,
                           std::size_t in, T* grad_weight) {
  for_each_packet<T>(out_channels, [&]<class Packet>(std::size_t out) {
    from_points_2d<winograd_kernel<m>, Packet>(
        grad_u.template load_at<Packet>(Panels<T>::offset(in_channels, in, out)),
        [&](std::size_t i, std::size_t j, const Packet& value) {
          T* const to = grad_weight + ((3 * i + j) * in_channels + in) * out_channels + out;
          Eigen::internal::pstoreu(to, Eigen::internal::padd(Eigen::internal::ploadu<Packet>(to), value));
        });
  });
}

}  // namespace repopt::nn::engine
