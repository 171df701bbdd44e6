// Share: the part of a batch, or of a data set, that one process takes. Needs no MPI.
#pragma once

#include <cstddef>

namespace repopt {

/// A contiguous range of items that one process takes.
struct Share {
  std::size_t first = 0;  ///< index of the first item
  std::size_t size = 0;   ///< number of items
};

/// Returns the share of process `rank` of `count` items. The shares of all processes follow one another, and their
/// sizes differ by at most 1.
constexpr Share share_of(std::size_t count, std::size_t rank, std::size_t processes) {
  const std::size_t first = count * rank / processes;
  return {first, count * (rank + 1) / processes - first};
}

}  // namespace repopt
