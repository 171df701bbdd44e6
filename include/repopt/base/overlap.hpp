// overlap: tells whether two buffers share memory.
#pragma once

#include <compare>
#include <span>

namespace repopt {

/// Returns whether two buffers share memory. An empty buffer shares none.
template <class T>
bool overlap(std::span<const T> a, std::span<const T> b) {
  const std::compare_three_way order;  // unlike <, it is defined for pointers into different buffers
  return !a.empty() && !b.empty() && order(a.data(), b.data() + b.size()) < 0 &&
         order(b.data(), a.data() + a.size()) < 0;
}

}  // namespace repopt
