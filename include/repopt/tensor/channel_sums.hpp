// Sums over pixels, one for each channel.
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

/// Arrays of `channels` numbers each, that lie one after another at `values`.
template <class T, std::size_t... i>
std::array<Eigen::Map<Vector<T>>, sizeof...(i)> channel_maps(T* values, std::size_t channels,
                                                             std::index_sequence<i...>) {
  return {Eigen::Map<Vector<T>>(values + i * channels, Eigen::Index(channels))...};
}

/// sums[i * channels + c] = sum i of channel c over pixels [first, first + count), for i < `sum_count`. `add` is a
/// lambda with the type of a packet for its template parameter: add(pixel, channel, sums) adds to sums[0..sum_count)
/// what one pixel contributes in the packet's channels, `channel` and those after it. Sums stay in registers.
template <std::size_t sum_count, class T>
void sum_pixels(std::size_t first, std::size_t count, std::size_t channels, T* sums, auto add) {
  constexpr std::size_t width = engine::Simd<T>::width;
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
  for (; channel + 4 * width <= channels; channel += 4 * width)
    sum_packets.template operator()<typename engine::Simd<T>::Packet, 4>(channel);
  for (; channel + width <= channels; channel += width)
    sum_packets.template operator()<typename engine::Simd<T>::Packet, 1>(channel);
  for (; channel < channels; ++channel) sum_packets.template operator()<T, 1>(channel);
}

/// Sums over the pixels of `x`, in blocks of T that are summed in double; `add` as sum_pixels() takes it. Rounds
/// differently for each thread_count(). The sums, (channels) each, lie in memory of the calling thread and hold until
/// its next call.
template <std::size_t count, class T>
std::array<Eigen::Map<Vector<double>>, count> channel_sums(const Tensor<T>& x, auto add) {
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
