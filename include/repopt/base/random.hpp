// Counter-based random numbers: a value depends on the seed and on its counters, never on earlier draws.
#pragma once

#include <cstdint>
#include <string_view>

namespace repopt {

/// SplitMix64's finaliser: every input bit affects every output bit.
constexpr std::uint64_t mix_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// Returns random bits for these counters, e.g. (seed, epoch, sample).
constexpr std::uint64_t random_bits(std::uint64_t seed, auto... counters) {
  ((seed = mix_bits(seed) ^ std::uint64_t(counters)), ...);
  return mix_bits(seed);
}

/// Turns random bits into a number that is uniform in [0, 1). Uses the upper 53 bits.
constexpr double to_uniform(std::uint64_t bits) { return double(bits >> 11) * 0x1p-53; }

/// The FNV-1a hash of a name.
constexpr std::uint64_t name_hash(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ std::uint64_t(static_cast<unsigned char>(c))) * 0x100000001b3;
  return hash;
}

}  // namespace repopt
