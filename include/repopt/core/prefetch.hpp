// Asking for memory before it is needed.
#pragma once

#include <algorithm>
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

/// Asks for memory that is needed soon; any address will do. (Inlined by force: GCC takes a function that does nothing
/// else for one without effect, and drops its calls.)
template <class T>
[[gnu::always_inline]] inline void prefetch([[maybe_unused]] const T* address) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address);
#endif
}

/// The same, for memory that the second-level cache is near enough for.
template <class T>
[[gnu::always_inline]] inline void prefetch_to_second_level([[maybe_unused]] const T* address) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(address, 0, 2);
#endif
}

/// Asks for part `part` of `parts` of the `size` elements from `first` on; to write them, if `will_write`.
template <bool will_write = false, class T>
[[gnu::always_inline]] inline void prefetch_part([[maybe_unused]] const T* first, std::size_t size, std::size_t part,
                                                 std::size_t parts) {
#if defined(__GNUC__) || defined(__clang__)
  for (std::size_t k = size * part / parts; k < size * (part + 1) / parts; k += cache_line<T>)
    __builtin_prefetch(first + k, will_write);
#endif
}

/// Reads `size` elements, for the cache alone: memory that will be used in small pieces here and there comes several
/// times as fast if it is read in order before, because the processor sees what follows. It drops many a prefetch; this
/// it can't.
template <class T>
void fetch(const T* first, std::size_t size) {
  const volatile T* const elements = first;
  for (std::size_t k = 0; k < size; k += cache_line<T>) static_cast<void>(elements[k]);
}

/// Calls visit(k) for every k < size, and on the way asks for element k + `distance` of each of `streams`: what a loop
/// over the next elements will read. A loop that only computes between two such loops then costs nothing, since the
/// memory works on. The calls must not depend on each other; they become vector code if `visit` captures by value.
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
