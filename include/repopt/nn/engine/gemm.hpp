// Matrix product for convolutions: a microkernel that keeps a tile of the result in registers, over panels packed once.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace repopt::nn::engine {

/// Vectors of the target machine, by Eigen's packets.
template <class T>
struct Simd {
  using Packet = typename Eigen::internal::packet_traits<T>::type;
  static constexpr std::size_t width = Eigen::internal::unpacket_traits<Packet>::size;
  /// A tile of `rows` x (2 packets) fills the registers, with three left for the operands.
  static constexpr std::size_t tile_rows = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32 ? 12 : 6;
  static constexpr std::size_t tile_columns = 2 * width;
};

/// A matrix in somebody's memory: element (i, j) is data[i * row_step + j * column_step].
template <class T>
struct Strided {
  T* data;
  std::size_t row_step, column_step;

  Strided transposed() const { return {data, column_step, row_step}; }
  T& operator()(std::size_t i, std::size_t j) const { return data[i * row_step + j * column_step]; }
};

/// The right factor, (depth, columns), cut into panels of tile_columns columns, each row after row in memory. The last
/// panel is filled up with zeros.
template <class T>
class Panels {
 public:
  static constexpr std::size_t panel_width = Simd<T>::tile_columns;

  void pack(const Strided<const T>& b, std::size_t depth, std::size_t columns) {
    depth_ = depth;
    columns_ = columns;
    memory_.resize(count() * depth * panel_width);
    for (std::size_t panel = 0; panel < count(); ++panel) {
      const std::size_t first = panel * panel_width, used = std::min(panel_width, columns - first);
      T* to = memory_.data() + panel * depth * panel_width;
      for (std::size_t k = 0; k < depth; ++k, to += panel_width) {
        for (std::size_t j = 0; j < used; ++j) to[j] = b(k, first + j);
        std::fill(to + used, to + panel_width, T(0));
      }
    }
  }

  std::size_t depth() const { return depth_; }
  std::size_t columns() const { return columns_; }
  std::size_t count() const { return (columns_ + panel_width - 1) / panel_width; }

  /// Row k of a panel.
  const T* row(std::size_t panel, std::size_t k) const { return memory_.data() + (panel * depth_ + k) * panel_width; }

 private:
  std::size_t depth_ = 0, columns_ = 0;
  std::vector<T, Eigen::aligned_allocator<T>> memory_;
};

/// tile (rows x tile_columns, row-major with `tile_step`) = or += a (rows x depth) * panel (depth x tile_columns).
template <std::size_t rows, class T>
void multiply_tile(const Strided<const T>& a, std::size_t depth, const T* panel, T* tile, std::size_t tile_step,
                   bool accumulate) {
  namespace packet = Eigen::internal;
  using Packet = typename Simd<T>::Packet;
  constexpr std::size_t width = Simd<T>::width;
  Packet left[rows], right[rows];
  for (std::size_t i = 0; i < rows; ++i) {
    left[i] = accumulate ? packet::ploadu<Packet>(tile + i * tile_step) : packet::pset1<Packet>(T(0));
    right[i] = accumulate ? packet::ploadu<Packet>(tile + i * tile_step + width) : packet::pset1<Packet>(T(0));
  }
  const T* from = a.data;
  for (std::size_t k = 0; k < depth; ++k, from += a.column_step, panel += 2 * width) {
    const Packet b_left = packet::pload<Packet>(panel), b_right = packet::pload<Packet>(panel + width);
    for (std::size_t i = 0; i < rows; ++i) {
      const Packet element = packet::pset1<Packet>(from[i * a.row_step]);
      left[i] = packet::pmadd(element, b_left, left[i]);
      right[i] = packet::pmadd(element, b_right, right[i]);
    }
  }
  for (std::size_t i = 0; i < rows; ++i) {
    packet::pstoreu(tile + i * tile_step, left[i]);
    packet::pstoreu(tile + i * tile_step + width, right[i]);
  }
}

/// multiply_tile() for a number of rows that is known at run time, up to tile_rows.
template <class T, std::size_t... smaller>
void multiply_rows(std::size_t rows, const Strided<const T>& a, std::size_t depth, const T* panel, T* tile,
                   std::size_t tile_step, bool accumulate, std::index_sequence<smaller...>) {
  ((rows == smaller + 1 ? multiply_tile<smaller + 1>(a, depth, panel, tile, tile_step, accumulate) : void()), ...);
}

/// c = or += a (rows, depth) * panels (depth, columns), c row-major with `c_step` elements from row to row.
template <class T>
void multiply(const Strided<const T>& a, std::size_t rows, const Panels<T>& panels, T* c, std::size_t c_step,
              bool accumulate) {
  constexpr std::size_t tile_rows = Simd<T>::tile_rows, tile_columns = Simd<T>::tile_columns;
  constexpr std::size_t depth_block = 2048 / sizeof(T);  // a panel's block and the rows beside it fit the first level
  alignas(64) T edge[tile_rows * tile_columns];
  for (std::size_t k = 0; k < panels.depth(); k += depth_block) {
    const std::size_t depth = std::min(depth_block, panels.depth() - k);
    const bool add = accumulate || k > 0;
    for (std::size_t panel = 0; panel < panels.count(); ++panel) {
      const std::size_t column = panel * tile_columns, columns = std::min(tile_columns, panels.columns() - column);
      for (std::size_t row = 0; row < rows; row += tile_rows) {
        const std::size_t height = std::min(tile_rows, rows - row);
        const Strided<const T> part{&a(row, k), a.row_step, a.column_step};
        T* const tile = c + row * c_step + column;
        const auto run = [&](T* to, std::size_t step, bool add_to) {
          if (height == tile_rows)
            multiply_tile<tile_rows>(part, depth, panels.row(panel, k), to, step, add_to);
          else
            multiply_rows<T>(height, part, depth, panels.row(panel, k), to, step, add_to,
                             std::make_index_sequence<tile_rows - 1>());
        };
        if (columns == tile_columns) {
          run(tile, c_step, add);
          continue;
        }
        run(edge, tile_columns, false);
        for (std::size_t i = 0; i < height; ++i)
          for (std::size_t j = 0; j < columns; ++j)
            tile[i * c_step + j] = edge[i * tile_columns + j] + (add ? tile[i * c_step + j] : T(0));
      }
    }
  }
}

}  // namespace repopt::nn::engine
