// The matrix product of the convolutions: a microkernel keeps a tile of the result in registers and reads its right
// factor from panels, which are packed once.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "repopt/base/prefetch.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/tensor/simd.hpp"

namespace repopt::nn::engine {

/// A view of a matrix: element (i, j) is data[i * row_step + j * column_step].
template <class T>
struct Strided {
  T* data;
  std::size_t row_step, column_step;

  Strided transposed() const { return {data, column_step, row_step}; }
  T& operator()(std::size_t i, std::size_t j) const { return data[i * row_step + j * column_step]; }
};

/// A view of a matrix (depth, columns) that is stored in panels of `width` columns. The panels follow one another, each
/// of them is row-major, and the last one has room for `width` columns, too.
template <class T, std::size_t width>
struct ColumnPanels {
  static constexpr std::size_t panel_width = width;

  T* data;  ///< size(depth, columns) elements, aligned for packets
  std::size_t depth, columns;

  /// Number of panels, and of elements in memory, of a matrix with these dimensions.
  /// @{
  static constexpr std::size_t count(std::size_t columns) { return (columns + panel_width - 1) / panel_width; }
  static constexpr std::size_t size(std::size_t depth, std::size_t columns) {
    return count(columns) * depth * panel_width;
  }
  /// @}

  std::size_t count() const { return count(columns); }

  /// Panel `index`, as a matrix of one panel.
  ColumnPanels panel(std::size_t index) const {
    return {row(index, 0), depth, std::min(panel_width, columns - index * panel_width)};
  }

  /// The first element of row k in a panel.
  T* row(std::size_t panel, std::size_t k) const { return data + (panel * depth + k) * panel_width; }

  /// Index of element (k, column) in `data`.
  static constexpr std::size_t offset(std::size_t depth, std::size_t k, std::size_t column) {
    return (column / panel_width * depth + k) * panel_width + column % panel_width;
  }

  /// Cuts columns [first, first + count) of row k at the panels' borders and calls visit(element, done, size) for each
  /// piece: `size` values from `element` on, the first of them in column first + done.
  void for_each_piece(std::size_t k, std::size_t first, std::size_t count, auto visit) const {
    for (std::size_t done = 0; done < count;) {
      const std::size_t column = first + done, size = std::min(count - done, panel_width - column % panel_width);
      visit(data + offset(depth, k, column), done, size);
      done += size;
    }
  }

  /// Writes zeros into the columns of the last panel that are beyond the matrix.
  void fill_up() const {
    const std::size_t used = columns % panel_width;
    for (std::size_t k = 0; used > 0 && k < depth; ++k) {
      T* const last = row(count() - 1, k);
      std::fill(last + used, last + panel_width, T(0));
    }
  }

  /// Copies `b`, (depth, columns), into the panels, and zeros behind its last column.
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

/// The right factor of a product. Its last panel is filled up with zeros.
template <class T>
using Panels = ColumnPanels<T, blocking::product_columns<T>>;

/// The left factor of a transposed product. If it were row-major, the elements of a column would often lie a power of
/// two apart and compete for a few sets of the cache. The width of a strip is a multiple of the packet's, so that
/// strips can be written packet by packet, and of a tile's rows.
template <class T>
using Strips = ColumnPanels<T, std::lcm(Simd<T>::width, blocking::product_rows)>;

/// The microkernel: tile (rows, product_columns) = a (rows, depth) * panel (depth, product_columns), or += if
/// `accumulate`. `row...` are the indices of the rows; the rows of `tile` are `tile_step` elements apart. The code has
/// no loops over rows, so that the sums stay in registers. It also prefetches `depth` lines from `next` on into the
/// cache of `level`: one line in each step, since many prefetches at once would wait for each other.
template <bool accumulate, int level, class T, std::size_t... row>
void multiply_tile(const Strided<const T>& a, std::size_t depth, const T* panel, T* tile, std::size_t tile_step,
                   const T* next, std::index_sequence<row...>) {
  namespace packet = Eigen::internal;
  using Packet = typename Simd<T>::Packet;
  constexpr std::size_t width = Simd<T>::width;
  const auto start = [](const T* from) {
    return accumulate ? packet::ploadu<Packet>(from) : packet::pset1<Packet>(T(0));
  };
  Packet left[]{start(tile + row * tile_step)...}, right[]{start(tile + row * tile_step + width)...};
  const T* from = a.data;
  REPOPT_UNROLL_BY_4
  for (std::size_t k = 0; k < depth; ++k, from += a.column_step, panel += 2 * width, next += cache_line<T>) {
    prefetch<level>(next);
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

/// The memory that a tile's product prefetches: a part of the panels, or of c if the product is added to c. The next
/// tile needs the latter at once, so it is prefetched into the first-level cache.
template <class T>
struct Prefetch {
  const T* next;
  bool is_sum;  ///< whether it is a part of c
};

/// multiply_tile() for `rows` <= product_rows and `accumulate` that are known at run time only.
template <class T>
void multiply_rows(std::size_t rows, const Strided<const T>& a, std::size_t depth, const T* panel, T* tile,
                   std::size_t tile_step, const Prefetch<T>& ahead, bool accumulate) {
  constexpr std::size_t all = blocking::product_rows;
  const auto run = [&]<std::size_t count>() {
    constexpr auto row = std::make_index_sequence<count>();
    if (!accumulate)
      return multiply_tile<false, blocking::product_panel_level>(a, depth, panel, tile, tile_step, ahead.next, row);
    if constexpr (count == all)  // fewer rows are too rare to be compiled a third time
      if (ahead.is_sum)
        return multiply_tile<true, blocking::product_sum_level>(a, depth, panel, tile, tile_step, ahead.next, row);
    multiply_tile<true, blocking::product_panel_level>(a, depth, panel, tile, tile_step, ahead.next, row);
  };
  if (rows == all) return run.template operator()<all>();  // nearly always
  unrolled<all - 1>([&]<std::size_t fewer>() {
    if (rows == fewer + 1) run.template operator()<fewer + 1>();
  });
}

/// The place of a product: a row-major matrix, or panels (rows, product_columns).
template <class T>
struct Product {
  T* data;
  std::size_t row_step;    ///< from row to row, in elements
  std::size_t panel_step;  ///< from panel to panel, or product_columns in a row-major matrix
  bool padded;             ///< whether the last panel has room for all product_columns

  static Product row_major(T* data, std::size_t row_step) {
    return {data, row_step, blocking::product_columns<T>, false};
  }
  static Product in_panels(const Panels<T>& panels) {
    return {panels.data, panels.panel_width, panels.depth * panels.panel_width, true};
  }
};

/// c = a (rows, depth) * panels (depth, columns), or += if `accumulate`. Every row of a is multiplied by a block of
/// blocking::product_depth rows of a panel before the next block, so that the block stays in the first-level cache. The
/// part of a beside it and the panel's part of c stay there, too, if the rows are not too many.
template <class T>
void multiply(const Strided<const T>& a, std::size_t rows, const Panels<T>& panels, const Product<T>& c,
              bool accumulate) {
  constexpr std::size_t tile_rows = blocking::product_rows, tile_columns = blocking::product_columns<T>;
  constexpr std::size_t most_depth = blocking::product_depth;
  alignas(64) T edge[tile_rows * tile_columns];
  for (std::size_t panel = 0; panel < panels.count(); ++panel) {
    const std::size_t columns = std::min(tile_columns, panels.columns - panel * tile_columns);
    for (std::size_t k = 0; k < panels.depth; k += most_depth) {
      const std::size_t depth = std::min(most_depth, panels.depth - k);
      const bool add = accumulate || k > 0;
      const T* const block = panels.row(panel, k);
      const std::size_t block_size = depth * tile_columns;
      for (std::size_t row = 0; row < rows; row += tile_rows) {
        const std::size_t height = std::min(tile_rows, rows - row);
        const Strided<const T> part{&a(row, k), a.row_step, a.column_step};
        T* const tile = c.data + row * c.row_step + panel * c.panel_step;
        // Prefetch what will miss next: c's next tile when accumulating, otherwise the panels' next block, of which
        // each tile prefetches a share.
        const std::size_t share = row / tile_rows * depth * cache_line<T> % block_size;
        const Prefetch<T> ahead{accumulate ? tile + tile_rows * c.row_step : block + block_size + share, accumulate};
        const auto run = [&](T* to, std::size_t step, bool add_to) {
          multiply_rows<T>(height, part, depth, block, to, step, ahead, add_to);
        };
        if (c.padded || columns == tile_columns) {
          run(tile, c.row_step, add);
          continue;
        }
        run(edge, tile_columns, false);
        for (std::size_t i = 0; i < height; ++i)
          for (std::size_t j = 0; j < columns; ++j)
            tile[i * c.row_step + j] = edge[i * tile_columns + j] + (add ? tile[i * c.row_step + j] : T(0));
      }
    }
  }
}

/// c (columns of a, columns) = a^T * panels, or += if `accumulate`. `a` is (depth, columns of a), `panels` is (depth,
/// columns).
template <class T>
void multiply_transposed(const Strips<T>& a, const Panels<T>& panels, const Product<T>& c, bool accumulate) {
  for (std::size_t strip = 0; strip < a.count(); ++strip) {
    const std::size_t first = strip * a.panel_width;
    Product<T> rows = c;
    rows.data += first * c.row_step;
    multiply<T>({a.row(strip, 0), 1, a.panel_width}, std::min(a.panel_width, a.columns - first), panels, rows,
                accumulate);
  }
}

}  // namespace repopt::nn::engine
