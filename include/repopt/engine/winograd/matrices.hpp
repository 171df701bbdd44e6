// Between images and the matrices of Winograd's convolutions: one for each pair of points, whose products over the
// channels are the convolution; and the transforms of one tile or one row of a kernel.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>

#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/gemm/gemm.hpp"
#include "repopt/engine/scratch.hpp"
#include "repopt/engine/winograd/scheme.hpp"
#include "repopt/engine/winograd/tiles.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/simd.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Matrices of tiles or of a kernel, one for each pair of kernel points, in columns of `width` (see ColumnPanels). A
/// row stands for a tile or an input channel; where `has_copies`, a tile has a row for each of its values that share a
/// point. The matrices lie a little more than their size apart: a row is written to all of them at once, which must not
/// fall into one set of the cache.
template <class Scheme, class T, bool has_copies>
class PointMatrices {
 public:
  static constexpr std::size_t count = Scheme::points * Scheme::points;

  /// In the thread's memory for `purpose`.
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

  T* operator[](std::size_t point) const { return matrices_[point]; }
  std::size_t rows(std::size_t point) const { return rows_ * copies(point); }

  /// Where a row's values go, or come from: f.operator()<i, j>(packet) or f.operator()<i, j>() for the values i, j of a
  /// tile, or the kernel points i, j, in the columns from `column` on.
  auto store_to(std::size_t row, std::size_t column) const {
    return [this, at = place(row, column)](std::size_t i, std::size_t j, const auto& value)
               REPOPT_INLINE_LAMBDA { Eigen::internal::pstoreu(address(at, i, j), value); };
  }
  template <class Packet>
  auto load_from(std::size_t row, std::size_t column) const {
    return [this, at = place(row, column)](std::size_t i, std::size_t j)
               REPOPT_INLINE_LAMBDA { return Eigen::internal::ploadu<Packet>(address(at, i, j)); };
  }

 private:
  /// Of a matrix without copies: the row's first element in the column's panel, and the column in it.
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

/// Row `index` of V: a tile's inputs, as `input` makes them of x.
template <bool has_input, class Scheme, class T>
void transform_input(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input, const Tile& tile,
                     std::size_t index, const TileMatrices<Scheme, T>& v) {
  constexpr std::size_t size = Scheme::inputs;
  const ImageShape& image = x.shape();
  // Unsigned: what lies above or left of the image wraps around to far below or right of it.
  const std::size_t top = Scheme::first_input(tile.top, shape.padding[0]);
  const std::size_t left = Scheme::first_input(tile.left, shape.padding[1]);
  const T* pixels[size][size];  // null: outside of the image
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

/// The same, with `input` or, if it is null, without.
template <class Scheme, class T>
void transform_input(const ConvShape& shape, const Tensor<T>& x, const InputAffine<T>* input, const Tile& tile,
                     std::size_t index, const TileMatrices<Scheme, T>& v) {
  if (input)
    transform_input<true>(shape, x, input, tile, index, v);
  else
    transform_input<false>(shape, x, input, tile, index, v);
}

/// Row `index` of D: a tile of dL/dy.
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

/// A tile of y, from row `index` of the products.
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

/// Row `in` of U: the kernel (3, 3, in_channels, out_channels) at the points.
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

/// Row `in` of dL/dw (3, 3, in_channels, out_channels) += what dL/dU makes of it.
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
