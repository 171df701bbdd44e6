// The matrices of Winograd's convolutions, one for each pair of interpolation points, and the transforms that fill them
// from images and kernels or turn them back: of one tile, or of one input channel of a kernel, at a time.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>

#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/scratch.hpp"
#include "repopt/engine/winograd/tiles.hpp"
#include "repopt/engine/winograd/transform.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/simd.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Matrices of tiles or of a kernel, one for each pair of the kernel's points, stored in panels of `width` columns as
/// ColumnPanels. A row is a tile or an input channel. If `has_copies`, a tile has a row for each of its values that
/// share a point. Between the matrices there is a gap, because a row is written to all of them at once,and without a
/// gap these writes could fall into the same set of the cache.
template <class Scheme, class T, bool has_copies>
class PointMatrices {
 public:
  static constexpr std::size_t count = Scheme::points * Scheme::points;

  /// Matrices of `rows` tiles or input channels in the thread's working memory for `purpose`.
  template <Scratch purpose>
  static PointMatrices allocate(std::size_t rows, std::size_t columns, std::size_t width) {
    const std::size_t unit = (columns + width - 1) / width * width * rows;
    PointMatrices matrices(rows, width);
    std::array<std::size_t, count + 1> begin{};
    for (std::size_t point = 0; point < count; ++point)
      begin[point + 1] = begin[point] + blocking::winograd_matrix_distance(unit * copies(point));
    T* const memory = scratch<purpose, T>(begin[count]);
    for (std::size_t point = 0; point < count; ++point) matrices.matrices_[point] = memory + begin[point];
    return matrices;
  }

  /// The matrix of a point: its memory, and its number of rows.
  /// @{
  T* operator[](std::size_t point) const { return matrices_[point]; }
  std::size_t rows(std::size_t point) const { return rows_ * copies(point); }
  /// @}

  /// Functions that write and read the row's packets of columns from `column` on: store(i, j, packet) and load(i, j),
  /// where (i, j) is a value of the tile or a point of the kernel.
  /// @{
  auto store_to(std::size_t row, std::size_t column) const {
    return [this, at = place(row, column)](std::size_t i, std::size_t j, const auto& value)
               REPOPT_INLINE_LAMBDA { Eigen::internal::pstoreu(address(at, i, j), value); };
  }
  template <class Packet>
  auto load_from(std::size_t row, std::size_t column) const {
    return [this, at = place(row, column)](std::size_t i, std::size_t j)
               REPOPT_INLINE_LAMBDA { return Eigen::internal::ploadu<Packet>(address(at, i, j)); };
  }
  /// @}

 private:
  /// A place in a matrix without copies: the index of the row's first element in the column's panel, and the column
  /// within the panel.
  struct Place {
    std::size_t row, column;
  };

  PointMatrices(std::size_t rows, std::size_t width) : rows_(rows), width_(width) {}

  static constexpr std::size_t copies(std::size_t point) {
    return has_copies ? Scheme::copies(point / Scheme::points) * Scheme::copies(point % Scheme::points) : 1;
  }

  Place place(std::size_t row, std::size_t column) const {
    return {(column / width_ * rows_ + row) * width_, column % width_};
  }

  EIGEN_ALWAYS_INLINE T* address(const Place& at, std::size_t i, std::size_t j) const {
    const std::size_t point = Scheme::point(i) * Scheme::points + Scheme::point(j);
    const std::size_t copy = Scheme::copy(i) * Scheme::copies(Scheme::point(j)) + Scheme::copy(j);
    return matrices_[point] + at.row * copies(point) + copy * width_ + at.column;
  }

  std::size_t rows_, width_;
  std::array<T*, count> matrices_{};
};

template <class Scheme, class T>
using TileMatrices = PointMatrices<Scheme, T, true>;
template <class Scheme, class T>
using KernelMatrices = PointMatrices<Scheme, T, false>;

/// Computes row `index` of V from a tile's inputs. `input` is applied to x if `has_input`.
template <bool has_input, class Scheme, class T>
void transform_input(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input, const Tile& tile,
                     std::size_t index, const TileMatrices<Scheme, T>& v) {
  constexpr std::size_t size = Scheme::inputs;
  const ImageShape& image = x.shape();
  // The coordinates are unsigned: above or left of the image they wrap around to large numbers, which are outside, too.
  const std::size_t top = Scheme::first_input(tile.top, shape.padding[0]);
  const std::size_t left = Scheme::first_input(tile.left, shape.padding[1]);
  const T* pixels[size][size];  // null outside the image
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = 0; j < size; ++j)
      pixels[i][j] = top + i < image.height && left + j < image.width
                         ? x.pixel((tile.image * image.height + top + i) * image.width + left + j)
                         : nullptr;
  for_each_packet<T>(image.channels, [&]<class Packet>(std::size_t c) {
    [[maybe_unused]] const auto affine =
        has_input ? input->template of_packet<Packet>(c) : typename InputAffine<T>::template OfPacket<Packet>{};
    along_both_axes<Packet, size, Scheme::values>(
        [](const Packet* from, std::size_t step, Packet* to) REPOPT_INLINE_LAMBDA { Scheme::input(from, step, to); },
        [&](std::size_t i, std::size_t j) REPOPT_INLINE_LAMBDA {
          if (!pixels[i][j]) return zero<Packet>();
          const Packet value = Eigen::internal::ploadu<Packet>(pixels[i][j] + c);
          if constexpr (has_input) return affine(value);
          return value;
        },
        v.store_to(index, c));
  });
}

/// Computes row `index` of V from a tile's inputs. `input` may be null.
template <class Scheme, class T>
void transform_input(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input, const Tile& tile,
                     std::size_t index, const TileMatrices<Scheme, T>& v) {
  if (input)
    transform_input<true>(shape, x, input, tile, index, v);
  else
    transform_input<false>(shape, x, input, tile, index, v);
}

/// Computes row `index` of D from a tile of dL/dy.
template <class Scheme, class T>
void transform_grad(const Tensor<T>& grad_y, const Tile& tile, std::size_t index, const OutputChannels& channels,
                    const TileMatrices<Scheme, T>& d) {
  const ImageShape& y = grad_y.shape();
  const T* const first = grad_y.pixel(tile.first_pixel(y)) + channels.first;
  for_each_packet<T>(channels.count, [&]<class Packet>(std::size_t c) {
    along_both_axes<Packet, Scheme::outputs, Scheme::values>(
        [](const Packet* from, std::size_t step, Packet* to) REPOPT_INLINE_LAMBDA { Scheme::grad(from, step, to); },
        [&](std::size_t i, std::size_t j) REPOPT_INLINE_LAMBDA {
          if (i >= tile.height || j >= tile.width) return zero<Packet>();
          return Eigen::internal::ploadu<Packet>(first + (i * y.width + j) * y.channels + c);
        },
        d.store_to(index, c));
  });
}

/// Computes a tile of y from row `index` of the products.
template <class Scheme, class T>
void transform_output(const TileMatrices<Scheme, T>& products, const Tile& tile, std::size_t index,
                      const OutputChannels& channels, Tensor<T>& y_tensor) {
  const ImageShape& y = y_tensor.shape();
  T* const first = y_tensor.pixel(tile.first_pixel(y)) + channels.first;
  for_each_packet<T>(channels.count, [&]<class Packet>(std::size_t c) {
    along_both_axes<Packet, Scheme::values, Scheme::outputs>(
        [](const Packet* from, std::size_t step, Packet* to) REPOPT_INLINE_LAMBDA { Scheme::output(from, step, to); },
        products.template load_from<Packet>(index, c),
        [&](std::size_t i, std::size_t j, const Packet& value) REPOPT_INLINE_LAMBDA {
          if (i < tile.height && j < tile.width)
            Eigen::internal::pstoreu(first + (i * y.width + j) * y.channels + c, value);
        });
  });
}

/// Computes row `in` of U from input channel `in` of the kernel, which is (3, 3, in_channels, out_channels).
template <class Scheme, class T>
void transform_kernel(const ConvShape& shape, const T* weight, std::size_t in, const OutputChannels& channels,
                      const KernelMatrices<Scheme, T>& u) {
  const T* const first = weight + in * shape.out_channels + channels.first;
  const std::size_t tap = shape.in_channels * shape.out_channels;
  for_each_packet<T>(channels.count, [&]<class Packet>(std::size_t c) {
    along_both_axes<Packet, 3, Scheme::points>(
        [](const Packet* from, std::size_t step, Packet* to) REPOPT_INLINE_LAMBDA { Scheme::kernel(from, step, to); },
        [&](std::size_t i, std::size_t j)
            REPOPT_INLINE_LAMBDA { return Eigen::internal::ploadu<Packet>(first + (3 * i + j) * tap + c); },
        u.store_to(in, c));
  });
}

/// Adds the contribution of row `in` of dL/dU to input channel `in` of dL/dw, which is (3, 3, in_channels,
/// out_channels).
template <class Scheme, class T>
void transform_kernel_grad(const KernelMatrices<Scheme, T>& grad_u, const ConvShape& shape, std::size_t in,
                           const OutputChannels& channels, T* grad_weight) {
  T* const first = grad_weight + in * shape.out_channels + channels.first;
  const std::size_t tap = shape.in_channels * shape.out_channels;
  for_each_packet<T>(channels.count, [&]<class Packet>(std::size_t c) {
    along_both_axes<Packet, Scheme::points, 3>(
        [](const Packet* from, std::size_t step, Packet* to)
            REPOPT_INLINE_LAMBDA { Scheme::kernel_grad(from, step, to); },
        grad_u.template load_from<Packet>(in, c),
        [&](std::size_t i, std::size_t j, const Packet& value) REPOPT_INLINE_LAMBDA {
          T* const to = first + (3 * i + j) * tap + c;
          Eigen::internal::pstoreu(to, Eigen::internal::padd(Eigen::internal::ploadu<Packet>(to), value));
        });
  });
}

}  // namespace repopt::nn::engine
