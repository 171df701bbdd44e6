// Chunks: an optimizer walks through a parameter's memory in short contiguous pieces.
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

/// The largest number of elements in a chunk. A chunk's working memory stays in the first-level cache. Chunks are also
/// short enough for a processor to start the next chunk while it waits for the memory of this one.
inline constexpr std::size_t max_chunk = 256;

/// Returns the number of chunks into which `size` elements are cut.
constexpr std::size_t chunk_count(std::size_t size) { return (size + max_chunk - 1) / max_chunk; }

/// Cuts `size` elements into chunks and calls visit(first, count) for each: the chunk holds elements first, ..., first
/// + count - 1, and count <= max_chunk. The calls run in parallel as in parallel_for(). `streams` are arrays of `size`
/// elements that `visit` reads or writes. They are prefetched two chunks ahead if streams_gain_by_prefetch.
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

/// Returns the sum of the values that visit(first, count) returns for the chunks of for_each_chunk(). The result is the
/// same for any number of threads.
inline double sum_over_chunks(std::size_t size, auto visit) {
  thread_local std::vector<double> memory;  // kept for the next call
  memory.resize(chunk_count(size));
  const std::span<double> sums(memory);  // the threads share this span, since each has its own `memory`
  for_each_chunk(size, [=](std::size_t first, std::size_t count) { sums[first / max_chunk] = visit(first, count); });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace repopt
