// Asking for memory before it is needed.
#pragma once

#include <cstddef>

namespace repopt::nn::engine {

/// Elements of a line of the cache.
template <class T>
inline constexpr std::size_t cache_line = 64 / sizeof(T);

/// Asks for memory that is needed soon, into the cache of the second level; any address will do. (Inlined by force: GCC
/// takes a function that does nothing else for one without effect, and drops its calls.)
template <class T>
[[gnu::always_inline]] inline void prefetch([[maybe_unused]] const T* address) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address, 0, 2);
#endif
}

/// Reads `size` elements, for the cache alone. Memory that is used in small pieces, here and there, is there in about
/// half the time if it is read in order before, since the processor then sees what follows; prefetches, many of which
/// it drops, gain less.
template <class T>
void fetch(const T* first, std::size_t size) {
  const volatile T* const elements = first;
  for (std::size_t k = 0; k < size; k += cache_line<T>) static_cast<void>(elements[k]);
}

}  // namespace repopt::nn::engine
