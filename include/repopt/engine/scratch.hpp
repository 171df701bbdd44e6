// Working memory of the convolutions, allocated once.
#pragma once

#include <cstddef>
#include <vector>

#include "repopt/tensor/allocator.hpp"

namespace repopt::nn::engine {

/// What a convolution needs memory for; one pass uses several at a time.
enum class Scratch {
  patches,             ///< rows of im2col
  packed_kernel,       ///< the kernel in panels
  packed_grad,         ///< dL/dy in panels
  turned_kernel,       ///< the kernel of backward data
  kernel_at_points,    ///< Winograd's U, or dL/dU
  input_at_points,     ///< V
  products_at_points,  ///< V * U, or D
  integer_sums,        ///< of an 8-bit convolution
};

/// The calling thread's memory for one purpose, at least `size` elements of unspecified contents. It grows to the
/// largest size asked for and stays until the thread ends, so a training step after the first allocates none.
template <Scratch purpose, class T>
T* scratch(std::size_t size) {
  thread_local std::vector<T, LargePageAllocator<T>> memory;
  if (memory.size() < size) {
    memory = decltype(memory)();  // gives memory back, unlike {}
    memory.resize(size);
  }
  return memory.data();
}

}  // namespace repopt::nn::engine
