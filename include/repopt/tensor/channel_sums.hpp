// channel_sums(): sums over all pixels of a tensor, one for each channel.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/tensor/simd.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Views of arrays of `channels` numbers that follow one another from `values` on.
template <class T, std::size_t... i>
std::array<Eigen::Map<Vector<T>>, sizeof...(i)> channel_maps(T* values, std::size_t channels,
                                                             std::index_sequence<i...>) {
  return {Eigen::Map<Vector<T>>(values + i * channels, Eigen::Index(channels))...};
}

/// sums[i * channels + c] = sum i of channel c over pixels [first, first + count), for i < `sum_count`. `add` is a
/// lambda whose template parameter is the type of a packet: add(pixel, channel, sums) adds the contribution of one
/// pixel to sums[0..sum_count), for the packet of channels that begins with `channel`. The sums stay in registers.
template <std::size_t sum_count, class T>
void sum_pixels(std::size_t first, std::size_t count, std::size_t channels, T* sums, auto add) {
  constexpr std::size_t width = engine::Simd<T>::width;
  constexpr std::size_t most_packets = 4;  // fewer: additions wait for each other; more: sums are spilled to memory
  const auto sum_packets = [&]<class Packet, std::size_t packets>(std::size_t channel) {
    constexpr std::size_t size = Eigen::internal::unpacket_traits<Packet>::size;
    Packet packet_sums[packets][sum_count];
    for (auto& of_packet : packet_sums)
      for (Packet& sum : of_packet) sum = engine::zero<Packet>();
    for (std::size_t pixel = first; pixel < first + count; ++pixel)
      engine::unrolled<packets>([&]<std::size_t k>() REPOPT_INLINE_LAMBDA {
        add.template operator()<Packet>(pixel, channel + k * size, packet_sums[k]);
      });
    for (std::size_t k = 0; k < packets; ++k)
      for (std::size_t i = 0; i < sum_count; ++i)
        Eigen::internal::pstoreu(sums + i * channels + channel + k * size, packet_sums[k][i]);
  };
  std::size_t channel = 0;
  for (; channel + most_packets * width <= channels; channel += most_packets * width)
    sum_packets.template operator()<typename engine::Simd<T>::Packet, most_packets>(channel);
  for (; channel + width <= channels; channel += width)
    sum_packets.template operator()<typename engine::Simd<T>::Packet, 1>(channel);
  for (; channel < channels; ++channel) sum_packets.template operator()<T, 1>(channel);
}

/// `count` sums over the pixels of `x`, each (channels). `add` is what sum_pixels() takes. Blocks of pixels are summed
/// in T, the blocks' sums in double. The rounding depends on thread_count(). The result is in memory of the calling
/// thread and valid until that thread's next call.
template <std::size_t count, class T>
std::array<Eigen::Map<Vector<double>>, count> channel_sums(const Tensor<T>& x, auto add) {
  // Pixels. Fewer: more sums to convert to double. More: larger errors of the sums in T. Rounding depends on it.
  constexpr std::size_t block_size = 64;
  const std::size_t channels = x.shape().channels, pixels = x.shape().pixels();
  thread_local std::vector<double> totals;
  totals.assign(count * channels, 0);
  sum_in_parts<double>((pixels + block_size - 1) / block_size, x.size(), totals, [&](std::size_t block, auto part) {
    thread_local std::vector<T> sums;
    sums.resize(count * channels);
    const std::size_t first = block * block_size;
    sum_pixels<count>(first, std::min(block_size, pixels - first), channels, sums.data(), add);
    for (std::size_t i = 0; i < sums.size(); ++i) part[i] += double(sums[i]);
  });
  return channel_maps(totals.data(), channels, std::make_index_sequence<count>());
}

}  // namespace repopt::nn
