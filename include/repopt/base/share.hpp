// Share: what part of a batch, or of a data set, a process takes. Needs no MPI.
#pragma once

#include <cstddef>

namespace repopt {

/// A process's share of things that lie in a row.
struct Share {
  std::size_t first = 0;  ///< index
  std::size_t size = 0;   ///< number
};

/// The share of process `rank` of `count` things. The shares of all processes follow one another and differ by one at
/// most.
constexpr Share share_of(std::size_t count, std::size_t rank, std::size_t processes) {
  const std::size_t first = count * rank / processes;
  return {first, count * (rank + 1) / processes - first};
}

}  // namespace repopt
