// Matrix product for convolutions: a microkernel that keeps a tile of the result in registers, over panels packed once.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <utility>

#include "repopt/nn/engine/simd.hpp"

namespace repopt::nn::engine {

/// A matrix in somebody's memory: element (i, j) is data[i * row_step + j * column_step].
template <class T>
struct Strided {
  T* data;
  std::size_t row_step, column_step;

  Strided transposed() const { return {data, column_step, row_step}; }
  T& operator()(std::size_t i, std::size_t j) const { return data[i * row_step + j * column_step]; }
};

/// The right factor, (depth, columns), cut into panels of tile_columns columns, each row after row in somebody's
/// memory. The last panel is filled up with zeros.
template <class T>
struct Panels {
  static constexpr std::size_t panel_width = Simd<T>::tile_columns;

  T* data;  ///< size(depth, columns) elements, aligned for packets
  std::size_t depth, columns;

  static constexpr std::size_t count(std::size_t columns) { return (columns + panel_width - 1) / panel_width; }
  static constexpr std::size_t size(std::size_t depth, std::size_t columns) {
    return count(columns) * depth * panel_width;
  }

  std::size_t count() const { return count(columns); }

  /// Row k of a panel.
  T* row(std::size_t panel, std::size_t k) const { return data + (panel * depth + k) * panel_width; }

  /// Place of element (k, column) in `data`.
  static constexpr std::size_t offset(std::size_t depth, std::size_t k, std::size_t column) {
    return (column / panel_width * depth + k) * panel_width + column % panel_width;
  }

  /// Writes the zeros behind the last column.
  void fill_up() const {
    const std::size_t used = columns % panel_width;
    for (std::size_t k = 0; used > 0 && k < depth; ++k) {
      T* const last = row(count() - 1, k);
      std::fill(last + used, last + panel_width, T(0));
    }
  }

  /// Copies `b`, (depth, columns), into the panels.
  void pack(const Strided<const T>& b) const {
    for (std::size_t panel = 0; panel < count(); ++panel) {
      const std::size_t first = panel * panel_width, used = std::min(panel_width, columns - first);
      for (std::size_t k = 0; k < depth; ++k) {
        T* const to = row(panel, k);
        for (std::size_t j = 0; j < used; ++j) to[j] = b(k, first + j);
      }
    }
    fill_up();
  }
};

/// tile (one row for each `row`, x tile_columns, row-major with `tile_step`) = or += a (rows x depth) * panel (depth x
/// tile_columns). Written without loops over the rows, so that the sums stay in registers.
template <bool accumulate, class T, std::size_t... row>
void multiply_tile(const Strided<const T>& a, std::size_t depth, const T* panel, T* tile, std::size_t tile_step,
                   std::index_sequence<row...>) {
  namespace packet = Eigen::internal;
  using Packet = typename Simd<T>::Packet;
  constexpr std::size_t width = Simd<T>::width;
  const auto start = [](const T* from) {
    return accumulate ? packet::ploadu<Packet>(from) : packet::pset1<Packet>(T(0));
  };
  Packet left[]{start(tile + row * tile_step)...}, right[]{start(tile + row * tile_step + width)...};
  const T* from = a.data;
  for (std::size_t k = 0; k < depth; ++k, from += a.column_step, panel += 2 * width) {
    const Packet b_left = packet::pload<Packet>(panel), b_right = packet::pload<Packet>(panel + width);
    const auto add = [&](const Packet& element, Packet& to_left, Packet& to_right) {
      to_left = packet::pmadd(element, b_left, to_left);
      to_right = packet::pmadd(element, b_right, to_right);
    };
    (add(packet::pset1<Packet>(from[row * a.row_step]), left[row], right[row]), ...);
  }
  (packet::pstoreu(tile + row * tile_step, left[row]), ...);
  (packet::pstoreu(tile + row * tile_step + width, right[row]), ...);
}

/// multiply_tile() for numbers of rows and `accumulate` that are known at run time; rows is at most sizeof...(fewer).
template <class T, std::size_t... fewer>
void multiply_rows(std::size_t rows, const Strided<const T>& a, std::size_t depth, const T* panel, T* tile,
                   std::size_t tile_step, bool accumulate, std::index_sequence<fewer...>) {
  const auto run = [&](auto indices) {
    if (accumulate)
      multiply_tile<true>(a, depth, panel, tile, tile_step, indices);
    else
      multiply_tile<false>(a, depth, panel, tile, tile_step, indices);
  };
  ((rows == fewer + 1 ? run(std::make_index_sequence<fewer + 1>()) : void()), ...);
}

/// c = or += a (rows, depth) * panels (depth, columns), c row-major with `c_step` elements from row to row.
template <class T>
void multiply(const Strided<const T>& a, std::size_t rows, const Panels<T>& panels, T* c, std::size_t c_step,
              bool accumulate) {
  constexpr std::size_t tile_rows = Simd<T>::tile_rows, tile_columns = Simd<T>::tile_columns;
  constexpr std::size_t depth_block = 2048 / sizeof(T);  // a panel's block and the rows beside it fit the first level
  alignas(64) T edge[tile_rows * tile_columns];
  for (std::size_t k = 0; k < panels.depth; k += depth_block) {
    const std::size_t depth = std::min(depth_block, panels.depth - k);
    const bool add = accumulate || k > 0;
    for (std::size_t panel = 0; panel < panels.count(); ++panel) {
      const std::size_t column = panel * tile_columns, columns = std::min(tile_columns, panels.columns - column);
      for (std::size_t row = 0; row < rows; row += tile_rows) {
        const std::size_t height = std::min(tile_rows, rows - row);
        const Strided<const T> part{&a(row, k), a.row_step, a.column_step};
        T* const tile = c + row * c_step + column;
        const auto run = [&](T* to, std::size_t step, bool add_to) {
          multiply_rows<T>(height, part, depth, panels.row(panel, k), to, step, add_to,
                           std::make_index_sequence<tile_rows>());
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
