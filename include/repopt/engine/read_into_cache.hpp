// read_into_cache(): reads memory into the cache before it is needed.
#pragma once

#include <cstddef>

#include "repopt/base/prefetch.hpp"

namespace repopt::nn::engine {

/// Reads `size` elements and ignores their values, so that they are in the cache. Reading them in order before they are
/// used in small pieces in another order takes about half the time: the processor recognises the order and reads ahead.
/// Prefetch instructions gain less, because the processor drops many of them.
template <class T>
void read_into_cache(const T* first, std::size_t size) {
  const volatile T* const elements = first;
  for (std::size_t k = 0; k < size; k += cache_line<T>) static_cast<void>(elements[k]);
}

}  // namespace repopt::nn::engine
