#include "repopt/base/random.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>

using namespace repopt;

TEST_CASE("mix_bits and name_hash give the published numbers of SplitMix64 and FNV-1a") {
  static_assert(mix_bits(0) == 0xe220a8397b1dcdaf);  // SplitMix64's first number for seed 0
  static_assert(name_hash("") == 0xcbf29ce484222325 && name_hash("a") == 0xaf63dc4c8601ec8c);  // FNV-1a's test vectors
  static_assert(to_uniform(0) == 0 && to_uniform(~std::uint64_t(0)) < 1);
}

TEST_CASE("Random bits depend on the seed, on every counter and on their order") {
  const std::set<std::uint64_t> bits{random_bits(1),       random_bits(2),       random_bits(1, 0),   random_bits(1, 1),
                                     random_bits(1, 0, 1), random_bits(1, 1, 0), random_bits(2, 0, 1)};
  CHECK(bits.size() == 7);
  CHECK(random_bits(1, 2, 3) == random_bits(1, 2, 3));
}
