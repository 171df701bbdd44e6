// Environment and Communicator: MPI with exceptions, spans and objects that clean up.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"

namespace repopt::mpi {

namespace detail {

/// Throws std::runtime_error with MPI's error text unless `status` is success.
inline void check(int status, std::string_view call) {
  if (status == MPI_SUCCESS) return;
  std::string text(MPI_MAX_ERROR_STRING, ' ');
  int length = 0;
  MPI_Error_string(status, text.data(), &length);
  throw std::runtime_error(concat(call, ": ", text.substr(0, std::size_t(length))));
}

template <std::floating_point T>
MPI_Datatype datatype() {
  if constexpr (std::same_as<T, float>)
    return MPI_FLOAT;
  else if constexpr (std::same_as<T, double>)
    return MPI_DOUBLE;
  else
    return MPI_LONG_DOUBLE;
}

/// Calls visit(pointer, count) for parts of `values` that are short enough for MPI's int.
template <class T>
void for_each_part(std::span<T> values, auto visit) {
  constexpr std::size_t most = std::size_t(std::numeric_limits<int>::max());
  for (std::size_t first = 0; first < values.size(); first += most) {
    const std::span<T> part = values.subspan(first, std::min(most, values.size() - first));
    visit(part.data(), int(part.size()));
  }
}

}  // namespace detail

/// The lifetime of MPI: the constructor starts MPI and the destructor ends it. Create one object in main() that
/// outlives everything else of MPI. The program may have several threads, but only the first may call MPI.
class Environment {
 public:
  /// Starts MPI. Throws std::runtime_error if MPI cannot start, or not in a program of several threads.
  Environment() {
    int provided = 0;
    detail::check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    if (provided >= MPI_THREAD_FUNNELED) return;
    MPI_Finalize();
    throw std::runtime_error("this MPI does not allow threads beside the one that calls it (MPI_THREAD_FUNNELED)");
  }
  ~Environment() { MPI_Finalize(); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
};

/// The processes that train one network together. All of them must call each function, in the same order. Every
/// function throws std::runtime_error with MPI's text if MPI reports an error.
class Communicator {
 public:
  /// Makes a separate communicator for the processes of `processes`. It must be destroyed before the Environment.
  explicit Communicator(MPI_Comm processes = MPI_COMM_WORLD) {
    detail::check(MPI_Comm_dup(processes, &comm_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }
  ~Communicator() { MPI_Comm_free(&comm_); }
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  /// The number of this process, 0 <= rank() < size(), and the number of processes.
  /// @{
  std::size_t rank() const { return std::size_t(rank_); }
  std::size_t size() const { return std::size_t(size_); }
  /// @}

  /// Replaces each value by its sum over the processes. All processes get the same numbers.
  template <std::floating_point T>
  void sum(std::span<T> values) const {
    detail::for_each_part(values, [&](T* data, int count) {
      detail::check(MPI_Allreduce(MPI_IN_PLACE, data, count, detail::datatype<T>(), MPI_SUM, comm_), "MPI_Allreduce");
    });
  }

  /// Replaces each value by its mean over the processes.
  template <std::floating_point T>
  void average(std::span<T> values) const {
    sum(values);
    for (T& value : values) value /= T(size_);
  }

  /// Copies the values of process 0 to every process.
  template <std::floating_point T>
  void broadcast(std::span<T> values) const {
    detail::for_each_part(values, [&](T* data, int count) {
      detail::check(MPI_Bcast(data, count, detail::datatype<T>(), 0, comm_), "MPI_Bcast");
    });
  }

  /// Throws std::runtime_error on every process unless all processes pass the same `text`. The message contains `what`
  /// and both texts.
  void require_same(std::string_view what, const std::string& text) const {
    const int own_length = int(text.size());
    std::vector<int> lengths(size()), starts(size());
    detail::check(MPI_Allgather(&own_length, 1, MPI_INT, lengths.data(), 1, MPI_INT, comm_), "MPI_Allgather");
    std::exclusive_scan(lengths.begin(), lengths.end(), starts.begin(), 0);
    std::string all(std::size_t(starts.back() + lengths.back()), ' ');
    detail::check(
        MPI_Allgatherv(text.data(), own_length, MPI_CHAR, all.data(), lengths.data(), starts.data(), MPI_CHAR, comm_),
        "MPI_Allgatherv");
    const auto text_of = [&](std::size_t process) {
      return all.substr(std::size_t(starts[process]), std::size_t(lengths[process]));
    };
    for (std::size_t process = 1; process < size(); ++process)
      if (text_of(process) != text_of(0))
        throw std::runtime_error(concat("the processes disagree: ", what, " is ", text_of(process), " on process ",
                                        process, ", on process 0 it is ", text_of(0)));
  }

  /// Ends all processes at once, with `status`. A process that failed calls it while the others wait for it.
  [[noreturn]] void abort(int status) const {
    MPI_Abort(comm_, status);
    throw std::runtime_error("MPI_Abort returned");
  }

 private:
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
};

}  // namespace repopt::mpi
