// Processes: the processes that share a training run. With REPOPT_MPI they are those that mpirun started. Otherwise
// there is only one.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "repopt/base/share.hpp"
#include "repopt/nn/models/vgg.hpp"

namespace repopt_cifar {

/// This process and the others of its run. processes/alone.cpp or processes/mpi.cpp defines the functions.
class Processes {
 public:
  /// The number of this process, counted from 0, and the number of all processes.
  /// @{
  static std::size_t rank();
  static std::size_t size();
  /// @}

  /// Whether this is the process that prints and writes files.
  static bool is_first() { return rank() == 0; }

  /// This process's share of `count` things.
  static repopt::Share share_of(std::size_t count) { return repopt::share_of(count, rank(), size()); }

  /// Replaces each value by its sum over the processes.
  static void sum(std::span<double> values);

  /// Replaces gradients and running statistics by their means over the processes.
  template <class T>
  static void average(repopt::nn::Vgg<T>& model);

  /// From now on, batch norms compute their statistics over the batches of all processes.
  template <class T>
  static void synchronize_batch_norms(repopt::nn::Vgg<T>& model);

  /// Throws std::runtime_error that names the difference unless all processes have the same text, or the same network.
  /// @{
  static void require_same(std::string_view what, const std::string& text);
  template <class T>
  static void require_same(repopt::nn::Vgg<T>& model);
  /// @}

  /// Connects the processes, calls `command` and returns its exit status. If the status is 1, an error, all other
  /// processes end, too, because they may wait for this one.
  static int run(const std::function<int()>& command);
};

}  // namespace repopt_cifar
