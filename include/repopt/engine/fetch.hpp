// Reading memory before it is needed.
#pragma once

#include <cstddef>

#include "repopt/base/prefetch.hpp"

namespace repopt::nn::engine {

/// Reads `size` elements, for the cache alone. Memory that is used in small pieces, here and there, is there in about
/// half the time if it is read in order before, since the processor then sees what follows; prefetches, many of which
/// it drops, gain less.
template <class T>
void fetch(const T* first, std::size_t size) {
  const volatile T* const elements = first;
  for (std::size_t k = 0; k < size; k += cache_line<T>) static_cast<void>(elements[k]);
}

}  // namespace repopt::nn::engine
