// Processes: those that share a training run. One, or, built with REPOPT_MPI, as many as mpirun started.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "repopt/base/share.hpp"
#include "repopt/nn/models/vgg.hpp"

namespace repopt_cifar {

/// This process among them. processes/alone.cpp and processes/mpi.cpp define it.
class Processes {
 public:
  static std::size_t rank();
  static std::size_t size();

  /// Whether this is the one that talks and writes.
  static bool is_first() { return rank() == 0; }

  /// This process's share of `count` things.
  static repopt::Share share_of(std::size_t count) { return repopt::share_of(count, rank(), size()); }

  /// Replaces each value by its sum over the processes.
  static void sum(std::span<double> values);

  /// Replaces gradients and running statistics by their means over the processes.
  template <class T>
  static void average(repopt::nn::Vgg<T>& model);

  /// Makes batch norms see the parts of all processes.
  template <class T>
  static void synchronize_batch_norms(repopt::nn::Vgg<T>& model);

  /// Throws std::runtime_error, naming what differs, unless it is the same on all processes.
  static void require_same(std::string_view what, const std::string& text);
  template <class T>
  static void require_same(repopt::nn::Vgg<T>& model);

  /// Calls `command` with the processes in touch, and returns what it returns: an exit status. If that is 1, for an
  /// error, the others are ended, too, which may wait for this one.
  static int run(const std::function<int()>& command);
};

}  // namespace repopt_cifar
