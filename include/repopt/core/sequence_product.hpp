// SequenceProduct: the kernel that equals two convolutions one after the other, and the gradients of both.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/base/dot.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"

namespace repopt {

namespace detail {

/// A matrix in memory: element (row, column) is data[row * row_step + column * column_step].
template <class T>
struct Strided {
  const T* data;
  std::size_t row_step, column_step;

  const T& operator()(std::size_t row, std::size_t column) const { return data[row * row_step + column * column_step]; }
};

/// Computes c (rows, columns) += a (rows, inner) * b (inner, columns). Rows of b and c are contiguous. The loop handles
/// four rows of c at a time, in blocks of columns that stay in the first-level cache.
template <class T>
void add_product(const Strided<T>& a, const T* b, std::size_t b_step, T* c, std::size_t c_step, std::size_t rows,
                 std::size_t inner, std::size_t columns) {
  constexpr std::size_t block = 1024 / sizeof(T), height = 4;
  for (std::size_t column = 0; column < columns; column += block) {
    const std::size_t width = std::min(block, columns - column);
    std::size_t row = 0;
    for (; row + height <= rows; row += height) {
      T* const c0 = c + row * c_step + column;
      T *const c1 = c0 + c_step, *const c2 = c1 + c_step, *const c3 = c2 + c_step;
      for (std::size_t m = 0; m < inner; ++m) {
        const T a0 = a(row, m), a1 = a(row + 1, m), a2 = a(row + 2, m), a3 = a(row + 3, m);
        const T* const from = b + m * b_step + column;
        for_each_independent(width, [=](std::size_t k) {
          const T value = from[k];
          c0[k] += a0 * value;
          c1[k] += a1 * value;
          c2[k] += a2 * value;
          c3[k] += a3 * value;
        });
      }
    }
    for (; row < rows; ++row)
      for (std::size_t m = 0; m < inner; ++m) {
        const T factor = a(row, m);
        const T* const from = b + m * b_step + column;
        T* const to = c + row * c_step + column;
        for_each_independent(width, [=](std::size_t k) { to[k] += factor * from[k]; });
      }
  }
}

}  // namespace detail

/// The kernel B with conv(conv(x, V), W) = conv(x, B), where V or W is 1x1. V, W and B are HWIO, so the output channels
/// are contiguous, and each computation is a plain matrix product over them. There are M channels between the
/// convolutions. i, m and o count channels, and p counts taps:
///
///     1x1, then KxK: B[p,i,o] = sum_m V[i,m] W[p,m,o]
///     KxK, then 1x1: B[p,i,o] = sum_m V[p,i,m] W[m,o]
///
/// Each product takes 2 M K^2 operations for each pair of input and output channels. A training step takes three
/// products.
template <std::floating_point T>
class SequenceProduct {
 public:
  /// The layouts of the shapes are replaced by HWIO. `groups` are the groups of B; they must divide the groups of both
  /// shapes.
  SequenceProduct(ConvShape first, ConvShape second, std::size_t groups)
      : first_(first), second_(second), ins_per_group_(first.in_channels / groups) {
    first_.layout = second_.layout = WeightLayout::hwio;
    const std::size_t mids = first_.out_channels, v_mids = first_.out_per_group(), w_mids = second_.in_per_group();
    for (std::size_t mid = 0, end = 0; mid < mids; mid = end) {
      const std::size_t v_group = mid / v_mids, w_group = mid / w_mids;
      end = std::min((v_group + 1) * v_mids, (w_group + 1) * w_mids);
      blocks_.push_back({v_group * first_.in_per_group(), mid, end - mid, w_group * second_.out_per_group()});
    }
  }

  /// The number of elements of B.
  std::size_t size() const { return taps() * ins_per_group_ * second_.out_channels; }

  /// Computes B from V and W. Elements of `b` that no pair of weights connects are not written: set them to 0 before.
  void fold(std::span<const T> v, std::span<const T> w, std::span<T> b) const {
    for_each_part(taps(), first_.in_per_group(),
                  [&](const Block& block, std::size_t tap, std::size_t begin, std::size_t end) {
                    T* const to = b.data() + b_offset(tap, block, begin);
                    for (std::size_t row = 0; row < end - begin; ++row) std::fill_n(to + row * outs(), columns(), T(0));
                    detail::add_product<T>({v.data() + v_offset(tap, block, begin), first_.out_channels, 1},
                                           w.data() + w_offset(tap, block, 0), outs(), to, outs(), end - begin,
                                           block.mids, columns());
                  });
  }

  /// Computes grad_w = dL/dW for G = dL/dB: dL/dW[p,m,o] = sum_i G[p,i,o] V[i,m], or dL/dW[m,o] = sum_{p,i} G[p,i,o]
  /// V[p,i,m].
  void gradient_of_second(std::span<const T> v, std::span<const T> grad_b, std::span<T> grad_w) const {
    for_each_part(second_.taps(), 0, [&](const Block& block, std::size_t w_tap, std::size_t begin, std::size_t end) {
      T* const to = grad_w.data() + w_offset(w_tap, block, begin);
      for (std::size_t m = 0; m < end - begin; ++m) std::fill_n(to + m * outs(), columns(), T(0));
      for_each_tap_of_b(second_, w_tap, [&](std::size_t tap) {
        detail::add_product<T>({v.data() + v_offset(tap, block, 0) + begin, 1, first_.out_channels},
                               grad_b.data() + b_offset(tap, block, 0), outs(), to, outs(), end - begin,
                               first_.in_per_group(), columns());
      });
    });
  }

  /// Computes grad_v = dL/dV for G = dL/dB: dL/dV[i,m] = sum_{p,o} G[p,i,o] W[p,m,o], or dL/dV[p,i,m] = sum_o G[p,i,o]
  /// W[m,o].
  void gradient_of_first(std::span<const T> w, std::span<const T> grad_b, std::span<T> grad_v) const {
    for_each_part(first_.taps(), first_.in_per_group(),
                  [&](const Block& block, std::size_t v_tap, std::size_t begin, std::size_t end) {
                    for (std::size_t row = begin; row < end; ++row)
                      for (std::size_t m = 0; m < block.mids; ++m) {
                        T sum = 0;
                        for_each_tap_of_b(first_, v_tap, [&](std::size_t tap) {
                          sum += detail::dot(grad_b.data() + b_offset(tap, block, row),
                                             w.data() + w_offset(tap, block, m), columns());
                        });
                        grad_v[v_offset(v_tap, block, row) + m] = sum;
                      }
                  });
  }

 private:
  /// Channels that are all connected with each other: the input channels of a group of V, the middle channels that
  /// belong to one group of V and one group of W, and the output channels of a group of W. The members are their first
  /// input, middle and output channels, and the number of middle channels.
  struct Block {
    std::size_t in, mid, mids, out;
  };

  std::size_t taps() const { return first_.taps() * second_.taps(); }
  std::size_t outs() const { return second_.out_channels; }
  std::size_t columns() const { return second_.out_per_group(); }

  /// The index at which the weights of row `row` of a block begin, for a tap of B. A row of V and B is an input
  /// channel; a row of W is a middle channel.
  /// @{
  std::size_t v_offset(std::size_t tap, const Block& block, std::size_t row) const {
    const std::size_t v_tap = first_.taps() > 1 ? tap : 0;
    return (v_tap * first_.in_per_group() + row) * first_.out_channels + block.mid;
  }
  std::size_t w_offset(std::size_t tap, const Block& block, std::size_t row) const {
    const std::size_t w_tap = second_.taps() > 1 ? tap : 0;
    return (w_tap * second_.in_per_group() + block.mid % second_.in_per_group() + row) * outs() + block.out;
  }
  std::size_t b_offset(std::size_t tap, const Block& block, std::size_t row) const {
    return (tap * ins_per_group_ + block.in % ins_per_group_ + row) * outs() + block.out;
  }
  /// @}

  /// Calls visit(tap) for each tap of B to which tap `tap_of_it` of `convolution`, which is V or W, contributes.
  void for_each_tap_of_b(const ConvShape& convolution, std::size_t tap_of_it, auto visit) const {
    if (convolution.taps() > 1) return visit(tap_of_it);
    for (std::size_t tap = 0; tap < taps(); ++tap) visit(tap);
  }

  /// Calls visit(block, tap, begin, end) for parts of up to four rows of each block and each of `tap_count` taps, in
  /// parallel. A block has `rows` rows; if `rows` is 0, it has one row for each of its middle channels.
  void for_each_part(std::size_t tap_count, std::size_t rows, auto visit) const {
    constexpr std::size_t height = 4;
    const std::size_t parts = ((rows ? rows : first_.out_per_group()) + height - 1) / height;
    parallel_for(tap_count * blocks_.size() * parts, size() * first_.out_per_group(), [&](std::size_t index) {
      const Block& block = blocks_[index / parts % blocks_.size()];
      const std::size_t count = rows ? rows : block.mids, begin = index % parts * height;
      if (begin < count) visit(block, index / parts / blocks_.size(), begin, std::min(begin + height, count));
    });
  }

  ConvShape first_, second_;
  std::size_t ins_per_group_;  ///< input channels in each group of B
  std::vector<Block> blocks_;
};

}  // namespace repopt
