// scratch(): the convolutions' working memory, which each thread allocates once.
#pragma once

#include <cstddef>
#include <vector>

#include "repopt/tensor/allocator.hpp"

namespace repopt::nn::engine {

/// The purposes of working memory. A pass uses several of them at a time.
enum class Scratch {
  patches,             ///< rows of im2col
  packed_kernel,       ///< the kernel in panels
  packed_grad,         ///< dL/dy in panels
  turned_kernel,       ///< the kernel of backward data
  kernel_at_points,    ///< Winograd's U, or dL/dU
  input_at_points,     ///< Winograd's V
  products_at_points,  ///< Winograd's V * U, or D
  integer_sums,        ///< the sums of an 8-bit convolution
};

/// The calling thread's memory for one purpose, at least `size` elements of unspecified contents. It grows to the
/// largest size asked for and stays until the thread ends, so a training step after the first allocates none.
template <Scratch purpose, class T>
T* scratch(std::size_t size) {
  thread_local std::vector<T, LargePageAllocator<T>> memory;
  if (memory.size() < size) {
    memory = decltype(memory)();  // frees the memory first; assigning {} would keep it
    memory.resize(size);
  }
  return memory.data();
}

}  // namespace repopt::nn::engine
