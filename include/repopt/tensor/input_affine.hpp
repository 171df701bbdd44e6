// InputAffine: what a convolution may apply to its input on the way in, so that an activation need not be stored.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <span>

#include "repopt/tensor/simd.hpp"

namespace repopt::nn {

/// relu(scale * x + shift) for each channel: a batch norm and its ReLU, folded. Both spans are (channels).
template <class T>
struct InputAffine {
  std::span<const T> scale;  ///< (channels)
  std::span<const T> shift;  ///< (channels)

  /// The map for a packet of channels, its constants at hand.
  template <class Packet>
  struct OfPacket {
    Packet scale;  ///< of these channels
    Packet shift;  ///< likewise

    /// scale * x + shift, and its ReLU. (As std::max, Eigen's pmax(z, 0) is z if z is a NaN.)
    /// @{
    EIGEN_ALWAYS_INLINE Packet before_relu(const Packet& x) const { return Eigen::internal::pmadd(scale, x, shift); }
    EIGEN_ALWAYS_INLINE Packet operator()(const Packet& x) const {
      return Eigen::internal::pmax(before_relu(x), engine::zero<Packet>());
    }
    /// @}
  };

  /// Of the channels from `channel` on.
  template <class Packet>
  EIGEN_ALWAYS_INLINE OfPacket<Packet> of_packet(std::size_t channel) const {
    return {Eigen::internal::ploadu<Packet>(scale.data() + channel),
            Eigen::internal::ploadu<Packet>(shift.data() + channel)};
  }

  /// to[0..channels) = the same for x[0..channels), channels `first`, first + 1, ...
  void apply(const T* x, T* to, std::size_t first, std::size_t channels) const {
    engine::for_each_packet<T>(channels, [&]<class Packet>(std::size_t c) {
      Eigen::internal::pstoreu(to + c, of_packet<Packet>(first + c)(Eigen::internal::ploadu<Packet>(x + c)));
    });
  }
};

}  // namespace repopt::nn
