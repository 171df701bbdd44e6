// InputAffine: an affine map and ReLU that a convolution applies to its input as it reads it, so that the activation
// need not be stored.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <span>

#include "repopt/tensor/simd.hpp"

namespace repopt::nn {

/// The map relu(scale * x + shift) of each channel: a folded batch norm and its ReLU.
template <class T>
struct InputAffine {
  std::span<const T> scale;  ///< (channels)
  std::span<const T> shift;  ///< (channels)

  /// The map of a packet of channels, with its constants in registers.
  template <class Packet>
  struct OfPacket {
    Packet scale;  ///< scale of these channels
    Packet shift;  ///< shift of these channels

    /// scale * x + shift, without and with ReLU. A NaN stays a NaN: Eigen's pmax(z, 0), like std::max, is z if z is a
    /// NaN.
    /// @{
    EIGEN_ALWAYS_INLINE Packet before_relu(const Packet& x) const { return Eigen::internal::pmadd(scale, x, shift); }
    EIGEN_ALWAYS_INLINE Packet operator()(const Packet& x) const {
      return Eigen::internal::pmax(before_relu(x), engine::zero<Packet>());
    }
    /// @}
  };

  /// The map of the packet of channels that begins with `channel`.
  template <class Packet>
  EIGEN_ALWAYS_INLINE OfPacket<Packet> of_packet(std::size_t channel) const {
    return {Eigen::internal::ploadu<Packet>(scale.data() + channel),
            Eigen::internal::ploadu<Packet>(shift.data() + channel)};
  }

  /// Maps x[0..channels) to to[0..channels). They are channels first, first + 1, ...
  void apply(const T* x, T* to, std::size_t first, std::size_t channels) const {
    engine::for_each_packet<T>(channels, [&]<class Packet>(std::size_t c) {
      Eigen::internal::pstoreu(to + c, of_packet<Packet>(first + c)(Eigen::internal::ploadu<Packet>(x + c)));
    });
  }
};

}  // namespace repopt::nn
