// TorchThreads: LibTorch's number of threads in a test.
#pragma once

#include <torch/utils.h>

#include <cstddef>
#include <thread>

#include "repopt/base/parallel.hpp"

namespace repopt::libtorch::testing {

/// Sets LibTorch's number of threads, and restores it at the end of the scope.
class TorchThreads {
 public:
  explicit TorchThreads(int count) : before_(torch::get_num_threads()) { torch::set_num_threads(count); }
  ~TorchThreads() { torch::set_num_threads(before_); }
  TorchThreads(const TorchThreads&) = delete;
  TorchThreads& operator=(const TorchThreads&) = delete;

 private:
  int before_;
};

/// The number of threads that OpenMP's loops use on a new thread after `call`. A new thread has OpenMP's own number
/// until LibTorch sets it.
std::size_t threads_after(auto call) {
  std::size_t count = 0;
  std::thread([&] {
    call();
    count = thread_count();
  }).join();
  return count;
}

}  // namespace repopt::libtorch::testing
