// The schemes of Winograd's convolutions. A scheme says, along one axis, from which values a convolution is computed.
//
// A scheme turns a tile's inputs into `values`, multiplies each of them by a value of the kernel, and turns the
// products into outputs. Value i is multiplied by the kernel's value at point(i). Each point belongs to one value,
// except the last point, which `copies` values share. All functions here are one-dimensional; they take packets of
// channels that are `step` packets apart. along_both_axes() applies them to squares.
#pragma once

#include <Eigen/Core>
#include <cstddef>

#include "repopt/engine/winograd/transform.hpp"
#include "repopt/tensor/simd.hpp"

namespace repopt::nn::engine {

/// The base of all schemes: numbers of inputs, outputs and values of a tile, and of points of the kernel.
template <std::size_t input_count, std::size_t output_count, std::size_t point_count, std::size_t value_count>
struct WinogradScheme {
  static constexpr std::size_t inputs = input_count, outputs = output_count, points = point_count;
  static constexpr std::size_t values = value_count;

  /// The point of a value, the value's index among those that share the point, and the number of values of a point.
  /// @{
  static constexpr std::size_t point(std::size_t value) { return value < points ? value : points - 1; }
  static constexpr std::size_t copy(std::size_t value) { return value < points ? 0 : value - points + 1; }
  static constexpr std::size_t copies(std::size_t point) { return point + 1 < points ? 1 : values - points + 1; }
  /// @}
};

/// 3 taps with stride 1: F(4, 3). 4 outputs take 6 multiplications; in two dimensions, 16 outputs take 36 instead of
/// 144.
struct Stride1 : WinogradScheme<6, 4, 6, 6> {
  /// The coordinate of the first input of the tile whose first output is `output`. Below zero it wraps around.
  static constexpr std::size_t first_input(std::size_t output, std::size_t padding) { return output - padding; }

  template <class Packet>
  static EIGEN_ALWAYS_INLINE void input(const Packet* x, std::size_t step, Packet* values) {
    to_points<winograd_input<4, 3>>(x, step, values);
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void output(const Packet* values, std::size_t step, Packet* y) {
    from_points<winograd_output<4, 3>>(values, step, y);
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void grad(const Packet* y, std::size_t step, Packet* values) {
    to_points<winograd_output<4, 3>>(y, step, values);
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void kernel(const Packet* taps, std::size_t step, Packet* points) {
    to_points<winograd_kernel<4, 3>>(taps, step, points);
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void kernel_grad(const Packet* points, std::size_t step, Packet* taps) {
    from_points<winograd_kernel<4, 3>>(points, step, taps);
  }
};

/// 3 taps with stride 2. Call the inputs e_0, o_0, e_1, o_1, ... Then y_i = (w_0 e_i + w_2 e_(i+1)) + w_1 o_i: F(4, 2)
/// of the e, and a plain product with each o. 4 outputs take 9 multiplications; in two dimensions, 16 outputs take 81
/// instead of 144.
struct Stride2 : WinogradScheme<9, 4, 6, 9> {
  static constexpr std::size_t first_input(std::size_t output, std::size_t padding) { return 2 * output - padding; }

  template <class Packet>
  static EIGEN_ALWAYS_INLINE void input(const Packet* x, std::size_t step, Packet* values) {
    to_points<winograd_input<4, 2>>(x, 2 * step, values);
    REPOPT_UNROLL
    for (std::size_t i = 0; i < 4; ++i) values[5 + i] = x[(2 * i + 1) * step];
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void output(const Packet* values, std::size_t step, Packet* y) {
    from_points<winograd_output<4, 2>>(values, step, y);
    REPOPT_UNROLL
    for (std::size_t i = 0; i < 4; ++i) y[i] = Eigen::internal::padd(y[i], values[(5 + i) * step]);
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void grad(const Packet* y, std::size_t step, Packet* values) {
    to_points<winograd_output<4, 2>>(y, step, values);
    REPOPT_UNROLL
    for (std::size_t i = 0; i < 4; ++i) values[5 + i] = y[i * step];
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void kernel(const Packet* taps, std::size_t step, Packet* points) {
    to_points<winograd_kernel<4, 2>>(taps, 2 * step, points);
    points[5] = taps[step];
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void kernel_grad(const Packet* points, std::size_t step, Packet* taps) {
    Packet outer[2];
    from_points<winograd_kernel<4, 2>>(points, step, outer);
    taps[0] = outer[0];
    taps[1] = points[5 * step];
    taps[2] = outer[1];
  }
};

/// Backward data of Stride2 with padding 1, with the turned kernel (w_2, w_1, w_0). Its inputs are g = dL/dy, its
/// outputs alternate: dL/do_i = w_1 g_i, then dL/de_(i+1) = w_2 g_i + w_0 g_(i+1).
struct Stride2Adjoint : WinogradScheme<5, 8, 6, 9> {
  static constexpr std::size_t first_input(std::size_t output, std::size_t) { return output / 2; }

  template <class Packet>
  static EIGEN_ALWAYS_INLINE void input(const Packet* g, std::size_t step, Packet* values) {
    to_points<winograd_input<4, 2>>(g, step, values);
    REPOPT_UNROLL
    for (std::size_t i = 0; i < 4; ++i) values[5 + i] = g[i * step];
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void output(const Packet* values, std::size_t step, Packet* x) {
    Packet odd[4];
    from_points<winograd_output<4, 2>>(values, step, odd);
    REPOPT_UNROLL
    for (std::size_t i = 0; i < 4; ++i) {
      x[2 * i] = values[(5 + i) * step];
      x[2 * i + 1] = odd[i];
    }
  }
  template <class Packet>
  static EIGEN_ALWAYS_INLINE void kernel(const Packet* taps, std::size_t step, Packet* points) {
    Stride2::kernel(taps, step, points);
  }
};

}  // namespace repopt::nn::engine
