// Memory for images and working memory.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <cstdlib>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace repopt::nn {

/// A standard allocator: memory aligned for Eigen's packets and, on Linux, all whole pages of 2 MiB in it as such,
/// if the system grants them. Pages of 4 KiB are too many for a processor to remember: a training step took 1.04 times
/// as long.
template <class T>
class LargePageAllocator {
 public:
  /// Of the elements.
  using value_type = T;  // NOLINT(readability-identifier-naming): the standard asks for it

  LargePageAllocator() = default;
  /// Allocators have no state.
  template <class U>
  LargePageAllocator(const LargePageAllocator<U>&) noexcept {}

  /// Memory for `count` elements. Throws std::bad_alloc.
  T* allocate(std::size_t count) {
#ifdef __linux__
    if (const std::size_t bytes = count * sizeof(T); bytes >= page) {
      void* memory = nullptr;
      if (posix_memalign(&memory, page, bytes) != 0) throw std::bad_alloc();
      madvise(memory, bytes / page * page, MADV_HUGEPAGE);  // may be refused: then the pages are small ones
      return static_cast<T*>(memory);
    }
#endif
    return Eigen::aligned_allocator<T>().allocate(count);
  }

  /// Gives back what allocate(count) returned.
  void deallocate(T* memory, [[maybe_unused]] std::size_t count) {
#ifdef __linux__
    if (count * sizeof(T) >= page) return std::free(memory);
#endif
    Eigen::aligned_allocator<T>().deallocate(memory, count);
  }

  bool operator==(const LargePageAllocator&) const = default;

 private:
  static constexpr std::size_t page = std::size_t(1) << 21;
};

}  // namespace repopt::nn
