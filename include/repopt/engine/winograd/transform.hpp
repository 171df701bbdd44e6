// Winograd's transforms, generated from their interpolation points.
//
// Two polynomials g, with r coefficients, and h, with m coefficients, can be multiplied by evaluating both at m + r - 1
// points, multiplying the values, and interpolating (Toom and Cook). In matrices: s = C [(G g) .* (A h)]. For each
// point p, G and A have a row (1, p, p^2, ...), and C has a column with the coefficients of the polynomial that is 1 at
// p and 0 at all other points. A convolution y_i = sum_j g_j x_(i+j), which computes m outputs from m + r - 1 inputs,
// is the transpose of this product:
//
//     y = A^T [(G g) .* (B x)],   B = C^T.
//
// It takes m + r - 1 multiplications instead of m r. In two dimensions every matrix is applied along both axes, which
// takes 36 instead of 144 multiplications for m = 4, r = 3. (Lavin and Gray, arXiv 1509.09308; they write B^T for B.)
// The gradients are dL/dg = G^T [(B x) .* (A dL/dy)] and, for x, the same convolution with the kernel turned by 180
// degrees.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>

#include "repopt/tensor/simd.hpp"

namespace repopt::nn::engine {

/// A matrix of constants, row by row.
template <std::size_t rows, std::size_t columns>
using ConstantMatrix = std::array<std::array<double, columns>, rows>;

/// The finite interpolation points for m outputs of r taps: 0 if their number is odd, then pairs p, -p. Infinity is
/// always the last point. They were chosen by their error in float with 256 channels: the largest deviation divided by
/// the largest element. Beside each set stands its error and that of the usual points.
template <std::size_t m, std::size_t r>
inline constexpr std::array<double, m + r - 2> winograd_points;

template <>
inline constexpr std::array<double, 5> winograd_points<4, 3>{0, 0.75, -0.75, 1.5, -1.5};  // error 2e-6; +-1, +-2: 8e-6
template <>
inline constexpr std::array<double, 4> winograd_points<4, 2>{0.5, -0.5, 1.25, -1.25};  // error 1e-6; +-1, +-2: 1e-5

/// The matrices of F(m, r), the convolution of m outputs and r taps. They have a row for each point.
template <std::size_t m, std::size_t r>
class WinogradMatrices {
 public:
  static constexpr std::size_t points = m + r - 1;

  /// Evaluates a polynomial of `columns` coefficients at the points: rows (1, p, p^2, ...). At infinity, the value is
  /// the leading coefficient.
  template <std::size_t columns>
  static constexpr ConstantMatrix<points, columns> evaluation() {
    ConstantMatrix<points, columns> matrix{};
    for (std::size_t k = 0; k + 1 < points; ++k) {
      double power = 1;
      for (std::size_t j = 0; j < columns; ++j, power *= finite[k]) matrix[k][j] = power;
    }
    matrix[points - 1][columns - 1] = 1;
    return matrix;
  }

  /// B, without the denominators that scaled_evaluation() has. Row k holds the coefficients of product_(j != k) (x -
  /// p_j), the last row, for infinity, those of the product over all finite points.
  static constexpr ConstantMatrix<points, points> numerators() {
    ConstantMatrix<points, points> matrix{};
    for (std::size_t k = 0; k < points; ++k) {
      matrix[k][0] = k + 1 < points ? sign(k) : 1;
      for (std::size_t j = 0; j + 1 < points; ++j) {
        if (j == k) continue;
        for (std::size_t i = points; i-- > 0;) matrix[k][i] = (i > 0 ? matrix[k][i - 1] : 0) - finite[j] * matrix[k][i];
      }
    }
    return matrix;
  }

  /// G. Its rows are divided by the denominators product_(j != k) (p_k - p_j) of the interpolating polynomials.
  static constexpr ConstantMatrix<points, r> scaled_evaluation() {
    ConstantMatrix<points, r> matrix = evaluation<r>();
    for (std::size_t k = 0; k + 1 < points; ++k) {
      double denominator = sign(k);
      for (std::size_t j = 0; j + 1 < points; ++j)
        if (j != k) denominator *= finite[k] - finite[j];
      for (double& element : matrix[k]) element /= denominator;
    }
    return matrix;
  }

 private:
  static constexpr auto& finite = winograd_points<m, r>;

  /// A sign for numerator and denominator of point k. Without 0 among the points, the rows of p and -p would otherwise
  /// differ in their signs.
  static constexpr double sign(std::size_t k) { return finite.size() % 2 == 0 && finite[k] < 0 ? -1 : 1; }
};

template <std::size_t m, std::size_t r>
inline constexpr auto winograd_output = WinogradMatrices<m, r>::template evaluation<m>();  ///< A
template <std::size_t m, std::size_t r>
inline constexpr auto winograd_kernel = WinogradMatrices<m, r>::scaled_evaluation();  ///< G
template <std::size_t m, std::size_t r>
inline constexpr auto winograd_input = WinogradMatrices<m, r>::numerators();  ///< B

/// Whether rows k and k + 1 of a matrix of `points` rows belong to points p and -p.
constexpr bool is_pair(std::size_t points, std::size_t k) {
  const std::size_t finite = points - 1, first = finite % 2;
  return k >= first && k < finite && (k - first) % 2 == 0;
}

/// sum + matrix(row, column) * x, or the product alone if there is no sum yet. Coefficients 0 and 1 cost no
/// multiplication.
template <const auto& matrix, std::size_t row, std::size_t column, bool has_sum, class Packet>
EIGEN_ALWAYS_INLINE Packet add_product(const Packet& sum, const Packet& x) {
  namespace packet = Eigen::internal;
  constexpr double coefficient = matrix[row][column];
  if constexpr (coefficient == 0) {
    return sum;
  } else if constexpr (coefficient == 1) {
    if constexpr (has_sum) return packet::padd(sum, x);
    return x;
  } else {
    const Packet factor = packet::pset1<Packet>(typename packet::unpacket_traits<Packet>::type(coefficient));
    if constexpr (has_sum) return packet::pmadd(factor, x, sum);
    return packet::pmul(factor, x);
  }
}

/// Whether one of row[first], row[first + step], ... before row[end] is not 0, so that their sum has begun.
template <std::size_t size>
constexpr bool has_product(const std::array<double, size>& row, std::size_t first, std::size_t end, std::size_t step) {
  for (std::size_t j = first; j < end; j += step)
    if (row[j] != 0) return true;
  return false;
}

/// Whether the sum over the rows before `end` has begun in column j. The two rows of a pair are 0 in the same columns.
template <std::size_t rows, std::size_t columns>
constexpr bool has_column_product(const ConstantMatrix<rows, columns>& matrix, std::size_t j, std::size_t end) {
  for (std::size_t k = 0; k < end; ++k)
    if (matrix[k][j] != 0 && !(is_pair(rows, k) && k + 1 == end && j % 2 == 1)) return true;
  return false;
}

/// Row k of matrix * x, summed over columns first, first + step, ... only. The elements of x are x_step apart.
template <const auto& matrix, std::size_t k, std::size_t first, std::size_t step, class Packet>
EIGEN_ALWAYS_INLINE Packet row_sum(const Packet* x, std::size_t x_step) {
  constexpr std::size_t columns = matrix[0].size();
  Packet sum = zero<Packet>();
  unrolled<(columns - first + step - 1) / step>([&]<std::size_t i>() REPOPT_INLINE_LAMBDA {
    constexpr std::size_t j = first + i * step;
    sum = add_product<matrix, k, j, has_product(matrix[k], first, j, step)>(sum, x[j * x_step]);
  });
  return sum;
}

/// values = matrix * x: the values at the points, along one axis. The elements of x are x_step apart. In all three
/// matrices the rows of p and -p are equal in even columns and opposite in odd columns. So both rows together cost as
/// much as one: they are the sum and the difference of an even and an odd part.
template <const auto& matrix, class Packet>
EIGEN_ALWAYS_INLINE void to_points(const Packet* x, std::size_t x_step, Packet* values) {
  constexpr std::size_t points = matrix.size();
  unrolled<points>([&]<std::size_t k>() REPOPT_INLINE_LAMBDA {
    if constexpr (is_pair(points, k)) {
      const Packet even = row_sum<matrix, k, 0, 2>(x, x_step), odd = row_sum<matrix, k, 1, 2>(x, x_step);
      values[k] = Eigen::internal::padd(even, odd);
      values[k + 1] = Eigen::internal::psub(even, odd);
    } else if constexpr (k == 0 || !is_pair(points, k - 1)) {
      values[k] = row_sum<matrix, k, 0, 1>(x, x_step);
    }
  });
}

/// x = matrix^T * values, the transpose of to_points(), with the same saving. The elements of `values` are values_step
/// apart.
template <const auto& matrix, class Packet>
EIGEN_ALWAYS_INLINE void from_points(const Packet* values, std::size_t values_step, Packet* x) {
  constexpr std::size_t points = matrix.size(), columns = matrix[0].size();
  Packet folded[points];  // each pair replaced by its sum and its difference
  unrolled<points>([&]<std::size_t k>() REPOPT_INLINE_LAMBDA {
    if constexpr (is_pair(points, k)) {
      folded[k] = Eigen::internal::padd(values[k * values_step], values[(k + 1) * values_step]);
      folded[k + 1] = Eigen::internal::psub(values[k * values_step], values[(k + 1) * values_step]);
    } else if constexpr (k == 0 || !is_pair(points, k - 1)) {
      folded[k] = values[k * values_step];
    }
  });
  unrolled<columns>([&]<std::size_t j>() REPOPT_INLINE_LAMBDA {
    x[j] = zero<Packet>();
    unrolled<points>([&]<std::size_t k>() REPOPT_INLINE_LAMBDA {
      constexpr bool second = k > 0 && is_pair(points, k - 1), sums = j % 2 == 0;
      constexpr std::size_t row = second ? k - 1 : k;
      if constexpr (is_pair(points, k) ? sums : !second || !sums)
        x[j] = add_product<matrix, row, j, has_column_product(matrix, j, k)>(x[j], folded[k]);
    });
  });
}

/// Applies a one-dimensional map from `in` to `out` elements, map(x, x_step, y), along both axes of a square. load(i,
/// j) gives element (i, j) of the input, store(i, j, value) receives element (i, j) of the output.
template <class Packet, std::size_t in, std::size_t out>
EIGEN_ALWAYS_INLINE void along_both_axes(auto map, auto load, auto store) {
  Packet half[in][out];
  REPOPT_UNROLL
  for (std::size_t j = 0; j < in; ++j) {
    Packet column[in];
    REPOPT_UNROLL
    for (std::size_t i = 0; i < in; ++i) column[i] = load(i, j);
    map(column, 1, half[j]);
  }
  REPOPT_UNROLL
  for (std::size_t i = 0; i < out; ++i) {
    Packet row[out];
    map(&half[0][i], out, row);
    REPOPT_UNROLL
    for (std::size_t j = 0; j < out; ++j) store(i, j, row[j]);
  }
}

}  // namespace repopt::nn::engine
