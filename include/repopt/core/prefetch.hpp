// Asking for memory before it is needed.
#pragma once

#include <cstddef>

/// Before a loop whose iterations touch different elements: compilers vectorise it without proof.
#if defined(__clang__)
#define REPOPT_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define REPOPT_INDEPENDENT _Pragma("GCC ivdep")
#else
#define REPOPT_INDEPENDENT
#endif

namespace repopt {

/// Elements of a line of the cache.
template <class T>
inline constexpr std::size_t cache_line = 64 / sizeof(T);

/// Asks for memory that is needed soon; any address will do. Into the cache of the first level, or another `level`.
/// (Inlined by force: GCC takes a function that does nothing else for one without
/// effect, and drops its calls.)
template <int level = 1, class T>
[[gnu::always_inline]] inline void prefetch([[maybe_unused]] const T* address) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address, 0, 4 - level);
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

/// Calls visit(k) for every k < size. The calls must not depend on each other; they become vector code if `visit`
/// captures by value.
void for_each_independent(std::size_t size, auto visit) {
  REPOPT_INDEPENDENT
  for (std::size_t k = 0; k < size; ++k) visit(k);
}

/// The same, and on the way asks for element k + `distance` of each of `streams`: what a loop over the next elements
/// will read. A loop that only computes between two such loops then costs nothing, since the memory works on.
template <std::size_t distance, class T, class... More>
void for_each_ahead(std::size_t size, auto visit, const T* stream, const More*... streams) {
  constexpr std::size_t line = cache_line<T>;
  std::size_t first = 0;
  for (; first + line <= size; first += line) {
    prefetch(stream + first + distance);
    (prefetch(streams + first + distance), ...);
    REPOPT_INDEPENDENT
    for (std::size_t k = 0; k < line; ++k) visit(first + k);
  }
  for (; first < size; ++first) visit(first);
}

}  // namespace repopt
