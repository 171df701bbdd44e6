// Winograd's transforms, generated from their interpolation points.
//
// Multiplying two polynomials, g of degree 2 and h of degree m - 1, means evaluating both at m + 2 points, multiplying
// value by value, and interpolating (Toom and Cook). In matrices: s = C [(G g) .* (A h)], with rows (1, p, p^2, ...) in
// G and A for each point p, and in C's columns the polynomials that are 1 at one point and 0 at all others. A
// convolution y_i = sum_j g_j x_(i+j), m outputs from m + 2 inputs, is the same product read backwards (transposed):
//
//     y = A^T [(G g) .* (B x)],   B = C^T,
//
// with m + 2 multiplications instead of 3 m. In two dimensions every matrix is applied along both axes: 36 instead of
// 144 multiplications for m = 4. (Lavin and Gray, arXiv 1509.09308, who write B^T for B.) Its gradients are
// dL/dg = G^T [(B x) .* (A dL/dy)] and, for x, the same convolution with the kernel turned by 180 degrees.
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstddef>

#include "repopt/nn/engine/simd.hpp"

namespace repopt::nn::engine {

template <std::size_t rows, std::size_t columns>
using ConstantMatrix = std::array<std::array<double, columns>, rows>;

/// The finite interpolation points for m outputs: 0, then pairs p, -p; infinity is added as the last one.
template <std::size_t m>
inline constexpr std::array<double, m + 1> winograd_points;

template <>
inline constexpr std::array<double, 3> winograd_points<2>{0, 1, -1};

/// In float these have a quarter of the error of the usual 0, +-1, +-2.
template <>
inline constexpr std::array<double, 5> winograd_points<4>{0, 0.75, -0.75, 1.5, -1.5};

/// The matrices of F(m x m, 3x3), a row for each point.
template <std::size_t m>
class WinogradMatrices {
 public:
  static constexpr std::size_t points = m + 2;

  /// Values at the points of a polynomial of `columns` coefficients: (1, p, p^2, ...); at infinity, the leading one.
  template <std::size_t columns>
  static constexpr ConstantMatrix<points, columns> evaluation() {
    ConstantMatrix<points, columns> matrix{};
    for (std::size_t k = 0; k + 1 < points; ++k) {
      double power = 1;
      for (std::size_t j = 0; j < columns; ++j, power *= winograd_points<m>[k]) matrix[k][j] = power;
    }
    matrix[points - 1][columns - 1] = 1;
    return matrix;
  }

  /// The coefficients of product_(j != k) (x - p_j); for infinity, of the product over all points.
  static constexpr ConstantMatrix<points, points> numerators() {
    ConstantMatrix<points, points> matrix{};
    for (std::size_t k = 0; k < points; ++k) {
      matrix[k][0] = 1;
      for (std::size_t j = 0; j + 1 < points; ++j) {
        if (j == k) continue;
        for (std::size_t i = points; i-- > 0;)
          matrix[k][i] = (i > 0 ? matrix[k][i - 1] : 0) - winograd_points<m>[j] * matrix[k][i];
      }
    }
    return matrix;
  }

  /// G, with the denominators product_(j != k) (p_k - p_j) of the interpolating polynomials.
  static constexpr ConstantMatrix<points, 3> scaled_evaluation() {
    ConstantMatrix<points, 3> matrix = evaluation<3>();
    for (std::size_t k = 0; k + 1 < points; ++k) {
      double denominator = 1;
      for (std::size_t j = 0; j + 1 < points; ++j)
        if (j != k) denominator *= winograd_points<m>[k] - winograd_points<m>[j];
      for (double& element : matrix[k]) element /= denominator;
    }
    return matrix;
  }
};

template <std::size_t m>
inline constexpr ConstantMatrix<m + 2, m> winograd_output = WinogradMatrices<m>::template evaluation<m>();  ///< A
template <std::size_t m>
inline constexpr ConstantMatrix<m + 2, 3> winograd_kernel = WinogradMatrices<m>::scaled_evaluation();  ///< G
template <std::size_t m>
inline constexpr ConstantMatrix<m + 2, m + 2> winograd_input = WinogradMatrices<m>::numerators();  ///< B

template <class Packet>
EIGEN_ALWAYS_INLINE Packet zero() {
  return Eigen::internal::pset1<Packet>(typename Eigen::internal::unpacket_traits<Packet>::type(0));
}

/// sum += coefficient * x, the first time sum = coefficient * x. The loops that call it are unrolled, so that the
/// compiler sees each coefficient: 0 and 1 cost no multiplication.
template <class Packet>
EIGEN_ALWAYS_INLINE void add_product(double coefficient, const Packet& x, Packet& sum, bool& started) {
  namespace packet = Eigen::internal;
  if (coefficient == 0) return;
  const Packet factor = packet::pset1<Packet>(typename packet::unpacket_traits<Packet>::type(coefficient));
  if (started)
    sum = coefficient == 1 ? packet::padd(sum, x) : packet::pmadd(factor, x, sum);
  else
    sum = coefficient == 1 ? x : packet::pmul(factor, x);
  started = true;
}

/// values = matrix * x, from coefficients to values at the points: one-dimensional, elements of x x_step apart.
/// In all three matrices the rows of p and -p agree in even columns and are opposite in odd ones, so a pair of points
/// costs one row: even part plus, and minus, odd part.
template <const auto& matrix, class Packet>
EIGEN_ALWAYS_INLINE void to_points(const Packet* x, std::size_t x_step, Packet* values) {
  constexpr std::size_t points = matrix.size(), size = matrix[0].size();
  REPOPT_UNROLL
  for (std::size_t k = 0; k < points; k += 1 + k % 2) {
    Packet part[2] = {zero<Packet>(), zero<Packet>()};  // of even and odd columns
    bool started[2] = {false, false};
    REPOPT_UNROLL
    for (std::size_t j = 0; j < size; ++j) add_product(matrix[k][j], x[j * x_step], part[j % 2], started[j % 2]);
    if (k % 2 == 1 && k + 1 < points) {
      values[k] = Eigen::internal::padd(part[0], part[1]);
      values[k + 1] = Eigen::internal::psub(part[0], part[1]);
    } else {
      values[k] = started[0] ? part[0] : part[1];  // the row of 0 or of infinity
    }
  }
}

/// x = matrix^T * values, the transposed map, with the same saving; elements of `values` values_step apart.
template <const auto& matrix, class Packet>
EIGEN_ALWAYS_INLINE void from_points(const Packet* values, std::size_t values_step, Packet* x) {
  constexpr std::size_t points = matrix.size(), size = matrix[0].size();
  Packet folded[points];  // the sum and the difference in place of each pair
  folded[0] = values[0];
  folded[points - 1] = values[(points - 1) * values_step];
  REPOPT_UNROLL
  for (std::size_t k = 1; k + 1 < points; k += 2) {
    folded[k] = Eigen::internal::padd(values[k * values_step], values[(k + 1) * values_step]);
    folded[k + 1] = Eigen::internal::psub(values[k * values_step], values[(k + 1) * values_step]);
  }
  REPOPT_UNROLL
  for (std::size_t j = 0; j < size; ++j) {
    bool started = false;
    x[j] = zero<Packet>();
    REPOPT_UNROLL
    for (std::size_t k = 0; k < points; k += 1 + k % 2)
      add_product(matrix[k][j], folded[k % 2 == 1 && k + 1 < points ? k + j % 2 : k], x[j], started);
  }
}

/// to_points() along both axes: load(i, j) is element (i, j) of a (size, size) array, store(i, j, value) takes the
/// values at points i, j.
template <const auto& matrix, class Packet>
EIGEN_ALWAYS_INLINE void to_points_2d(auto load, auto store) {
  constexpr std::size_t points = matrix.size(), size = matrix[0].size();
  Packet half[size][points], column[size], row[points];
  REPOPT_UNROLL
  for (std::size_t j = 0; j < size; ++j) {
    REPOPT_UNROLL
    for (std::size_t i = 0; i < size; ++i) column[i] = load(i, j);
    to_points<matrix>(column, 1, half[j]);
  }
  REPOPT_UNROLL
  for (std::size_t i = 0; i < points; ++i) {
    to_points<matrix>(&half[0][i], points, row);
    REPOPT_UNROLL
    for (std::size_t j = 0; j < points; ++j) store(i, j, row[j]);
  }
}

/// from_points() along both axes: load(i, j) is the value at points i, j, store(i, j, value) takes element (i, j) of a
/// (size, size) array.
template <const auto& matrix, class Packet>
EIGEN_ALWAYS_INLINE void from_points_2d(auto load, auto store) {
  constexpr std::size_t points = matrix.size(), size = matrix[0].size();
  Packet half[points][size], column[points], row[size];
  REPOPT_UNROLL
  for (std::size_t j = 0; j < points; ++j) {
    REPOPT_UNROLL
    for (std::size_t i = 0; i < points; ++i) column[i] = load(i, j);
    from_points<matrix>(column, 1, half[j]);
  }
  REPOPT_UNROLL
  for (std::size_t i = 0; i < size; ++i) {
    from_points<matrix>(&half[0][i], size, row);
    REPOPT_UNROLL
    for (std::size_t j = 0; j < size; ++j) store(i, j, row[j]);
  }
}

}  // namespace repopt::nn::engine
