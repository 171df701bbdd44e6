// allocation_count: the number of calls of malloc() and posix_memalign() so far. glibc lets a program replace these
// functions in order to count. Sanitizers replace them too: with sanitizers, or without glibc,
// REPOPT_COUNTS_ALLOCATIONS is not defined. Include this header in only one source file of a program.
// allocation_that_fails: the count at which malloc() has no memory.
#pragma once

#include <cstdlib>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define REPOPT_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define REPOPT_SANITIZED
#endif

#if defined(__GLIBC__) && !defined(REPOPT_SANITIZED)
#define REPOPT_COUNTS_ALLOCATIONS

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace repopt::testing {

inline std::atomic<long> allocation_count = 0;
inline std::atomic<long> allocation_that_fails = 0;  ///< 0: none

}  // namespace repopt::testing

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void* malloc(std::size_t size) noexcept {
  const bool fails = ++repopt::testing::allocation_count == repopt::testing::allocation_that_fails;
  return fails ? nullptr : __libc_malloc(size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  ++repopt::testing::allocation_count;
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}

#endif
