// Simd: the vectors of the target machine, which are Eigen's packets, and loops over channels by packets.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <utility>

/// REPOPT_UNROLL stands before a short loop with a constant count and unrolls it, so that arrays that are indexed by
/// its variable stay in registers. REPOPT_UNROLL_BY_4 stands before a long loop and spreads the cost of counting over
/// four steps.
#if defined(__clang__)
#define REPOPT_UNROLL _Pragma("clang loop unroll(full)")
#define REPOPT_UNROLL_BY_4 _Pragma("clang loop unroll_count(4)")
#elif defined(__GNUC__)
#define REPOPT_UNROLL _Pragma("GCC unroll 16")
#define REPOPT_UNROLL_BY_4 _Pragma("GCC unroll 4")
#else
#define REPOPT_UNROLL
#define REPOPT_UNROLL_BY_4
#endif

/// Stands after the parameters of a lambda, which is then inlined wherever it is called.
#if defined(__GNUC__) || defined(__clang__)
#define REPOPT_INLINE_LAMBDA __attribute__((always_inline))
#else
#define REPOPT_INLINE_LAMBDA
#endif

namespace repopt::nn::engine {

/// The vectors of T: their type, and the number of elements in one.
template <class T>
struct Simd {
  using Packet = typename Eigen::internal::packet_traits<T>::type;
  static constexpr std::size_t width = Eigen::internal::unpacket_traits<Packet>::size;
};

/// A packet of zeros.
template <class Packet>
EIGEN_ALWAYS_INLINE Packet zero() {
  return Eigen::internal::pset1<Packet>(typename Eigen::internal::unpacket_traits<Packet>::type(0));
}

/// `value` where z > 0, else 0: a gradient on its way back through ReLU.
template <class Packet>
EIGEN_ALWAYS_INLINE Packet where_positive(const Packet& z, const Packet& value) {
  return Eigen::internal::pand(Eigen::internal::pcmp_lt(zero<Packet>(), z), value);
}

/// Calls visit.operator()<Packet>(channel) for each whole packet of channels, then visit.operator()<T>(channel) for
/// each channel that is left.
template <class T>
void for_each_packet(std::size_t channels, auto visit) {
  std::size_t channel = 0;
  for (; channel + Simd<T>::width <= channels; channel += Simd<T>::width)
    visit.template operator()<typename Simd<T>::Packet>(channel);
  for (; channel < channels; ++channel) visit.template operator()<T>(channel);
}

/// Calls visit.operator()<i>() for i from 0 to count - 1 without a loop: i is a constant even without optimization.
template <std::size_t count>
EIGEN_ALWAYS_INLINE void unrolled(auto visit) {
  [&]<std::size_t... i>(std::index_sequence<i...>) REPOPT_INLINE_LAMBDA { (visit.template operator()<i>(), ...); }
  (std::make_index_sequence<count>());
}

}  // namespace repopt::nn::engine
