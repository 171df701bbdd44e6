// Counter-based random numbers: a value depends on the seed and on what it is for, never on what was drawn before.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "repopt/core/conv_shape.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// SplitMix64's finaliser: every input bit reaches every output bit.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Random bits for the counters, e.g. (seed, epoch, sample).
constexpr std::uint64_t random_bits(std::uint64_t seed, auto... counters) {
  ((seed = mix(seed) ^ std::uint64_t(counters)), ...);
  return mix(seed);
}

/// Uniform in [0, 1), from the upper 53 bits.
constexpr double to_uniform(std::uint64_t bits) { return double(bits >> 11) * 0x1p-53; }

/// A number for a name (FNV-1a).
constexpr std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ std::uint64_t(static_cast<unsigned char>(c))) * 0x100000001b3;
  return hash;
}

/// Fills a parameter as PyTorch's Conv2d and Linear start: uniform in +-1 / sqrt(fan_in). The numbers belong to the
/// places in PyTorch's order, so they do not depend on the layout in memory.
template <class T>
void init_uniform(Parameter<T>& parameter, std::size_t fan_in, std::uint64_t seed, std::string_view name) {
  const double bound = 1 / std::sqrt(double(fan_in));
  const auto draw = [&, hash = name_hash(name)](std::size_t index) {
    return T(bound * (2 * to_uniform(random_bits(seed, hash, index)) - 1));
  };
  std::size_t index = 0;
  if (parameter.conv)
    for_each_weight(*parameter.conv, [&](const WeightIndex& weight) {
      parameter.value[parameter.conv->offset(weight)] = draw(index++);
    });
  else
    for (T& value : parameter.value) value = draw(index++);
}

}  // namespace repopt::nn
