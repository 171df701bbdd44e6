#include "repopt/core/sequence_product.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "support/block_kinds.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// A pair of convolutions, the groups of their product, and a loop over all pairs of connected weights.
struct ConvPair {
  ConvShape first, second;
  std::size_t groups;

  std::size_t product_size() const {
    return first.taps() * second.taps() * first.in_channels / groups * second.out_channels;
  }

  /// visit(place in V, place in W, place in B) for each product of two weights, all in HWIO.
  void for_each_product(const std::function<void(std::size_t, std::size_t, std::size_t)>& visit) const {
    const std::size_t ins = first.in_per_group(), mids = second.in_per_group(), outs = second.out_channels;
    for (std::size_t p = 0; p < first.taps(); ++p)
      for (std::size_t q = 0; q < second.taps(); ++q)
        for (std::size_t o = 0; o < outs; ++o)
          for (std::size_t m = 0; m < mids; ++m) {
            const std::size_t mid = o / second.out_per_group() * mids + m, group = mid / first.out_per_group();
            for (std::size_t i = 0; i < ins; ++i) {
              const std::size_t in = group * ins + i, product_ins = first.in_channels / groups;
              visit((p * ins + i) * first.out_channels + mid, (q * mids + m) * outs + o,
                    ((p * second.taps() + q) * product_ins + in % product_ins) * outs + o);
            }
          }
  }
};

/// A 1x1 and a KxK in either order. The groups of both are multiples of the product's groups.
ConvPair random_pair(Random& random) {
  const std::size_t groups = random.integer(1, 3), in = groups * random.integer(1, 6),
                    mid = groups * random.integer(1, 6), out = groups * random.integer(1, 6);
  ConvPair pair{square(in, mid, 1), square(mid, out, 1), groups};
  pair.first.groups = random_divisor(random, std::gcd(in, mid), groups);
  pair.second.groups = random_divisor(random, std::gcd(mid, out), groups);
  (random.integer(0, 1) ? pair.first : pair.second).kernel_size = {random.integer(1, 3), random.integer(1, 3)};
  return pair;
}

template <class T>
void check_pair(Random& random, const ConvPair& pair) {
  const double tolerance = 100 * std::numeric_limits<T>::epsilon();
  INFO("[", describe(pair.first), "], [", describe(pair.second), "], groups ", pair.groups);
  const SequenceProduct<T> product(pair.first, pair.second, pair.groups);
  REQUIRE(product.size() == pair.product_size());
  const auto v = random.numbers<T>(pair.first.size()), w = random.numbers<T>(pair.second.size()),
             grad_b = random.numbers<T>(product.size());
  std::vector<T> b(product.size()), grad_v(v.size()), grad_w(w.size());
  pair.for_each_product([&](std::size_t of_v, std::size_t of_w, std::size_t of_b) {
    b[of_b] += v[of_v] * w[of_w];
    grad_v[of_v] += grad_b[of_b] * w[of_w];
    grad_w[of_w] += grad_b[of_b] * v[of_v];
  });
  std::vector<T> our_b(b.size()), our_grad_v(v.size(), T(7)), our_grad_w(w.size(), T(7));  // 7 must be overwritten
  product.fold(v, w, our_b);
  product.fold(v, w, our_b);
  product.gradient_of_first(w, grad_b, our_grad_v);
  product.gradient_of_second(v, grad_b, our_grad_w);
  CHECK(relative_error(our_b, b) < tolerance);
  CHECK(relative_error(our_grad_v, grad_v) < tolerance);
  CHECK(relative_error(our_grad_w, grad_w) < tolerance);
}

}  // namespace

TEST_CASE_TEMPLATE("A sequence's product and gradients are sums over all pairs of connected weights", T, double,
                   float) {
  Random random(320);
  for (int trial = 0; trial < 200; ++trial) check_pair<T>(random, random_pair(random));
  check_pair<T>(random, {square(37, 11, 1), square(11, 300, 3), 1});  // 300 columns are more than a block has
  check_pair<T>(random, {square(5, 21, 3), square(21, 300, 1), 1});
}

TEST_CASE("Elements of the product that no pair of weights connects are left unchanged") {
  Random random(321);
  const ConvPair pair{square(4, 4, 1, 1, 2), square(4, 4, 1, 1, 2), 1};
  const SequenceProduct<double> product(pair.first, pair.second, 1);
  std::vector<double> b(16, 0.0);
  product.fold(random.numbers<double>(8), random.numbers<double>(8), b);
  for (std::size_t in = 0; in < 4; ++in)
    for (std::size_t out = 0; out < 4; ++out) CHECK((b[in * 4 + out] != 0) == (in / 2 == out / 2));
}
