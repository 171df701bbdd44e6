// Chunks: how an optimizer walks through a parameter's memory.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/base/prefetch.hpp"

namespace repopt {

/// Most elements of a chunk. A chunk's working memory stays in the first-level cache, and chunks are so short that a
/// processor already works on the next one while it waits for this one's memory.
inline constexpr std::size_t max_chunk = 256;

/// The number of chunks that `size` elements are cut into.
constexpr std::size_t chunk_count(std::size_t size) { return (size + max_chunk - 1) / max_chunk; }

/// Cuts `size` elements into chunks: visit(first, count) for elements first, first + 1, ..., first + count - 1, where
/// count <= max_chunk. In parallel as parallel_for() says. `streams` are arrays of `size` elements that `visit` reads
/// or writes; where that gains time, each is prefetched two chunks ahead.
template <class... T>
void for_each_chunk(std::size_t size, auto visit, const T*... streams) {
  parallel_for(chunk_count(size), size, [=](std::size_t chunk) {
    if constexpr (streams_gain_by_prefetch && sizeof...(streams) > 0) {
      const std::size_t begin = std::min((chunk + 2) * max_chunk, size), end = std::min(begin + max_chunk, size);
      constexpr std::size_t line = std::min({cache_line<T>...});
      for (std::size_t k = begin; k < end; k += line) (prefetch<1>(streams + k), ...);
    }
    const std::size_t first = chunk * max_chunk;
    visit(first, std::min(max_chunk, size - first));
  });
}

/// The sum of what visit(first, count) returns for the chunks of for_each_chunk(): the same for any number of threads.
inline double sum_over_chunks(std::size_t size, auto visit) {
  thread_local std::vector<double> memory;  // kept for the next call
  memory.resize(chunk_count(size));
  const std::span<double> sums(memory);  // threads write here, not to `memory` of their own
  for_each_chunk(size, [=](std::size_t first, std::size_t count) { sums[first / max_chunk] = visit(first, count); });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace repopt
