// Processes by MPI.
#include <optional>

#include "repopt/mpi/communicator.hpp"
#include "repopt/mpi/data_parallel.hpp"
#include "training/processes.hpp"

namespace repopt_cifar {

namespace {

std::optional<repopt::mpi::Communicator> all;  // set while run() runs; otherwise this process is alone

}  // namespace

std::size_t Processes::rank() { return all ? all->rank() : 0; }
std::size_t Processes::size() { return all ? all->size() : 1; }

void Processes::sum(std::span<double> values) {
  if (size() > 1) all->sum(values);
}

template <class T>
void Processes::average(repopt::nn::Vgg<T>& model) {
  if (size() > 1) repopt::mpi::average_gradients(*all, model);
}

template <class T>
void Processes::synchronize_batch_norms(repopt::nn::Vgg<T>& model) {
  if (size() > 1) repopt::mpi::synchronize_batch_norms(*all, model);
}

void Processes::require_same(std::string_view what, const std::string& text) {
  if (size() > 1) all->require_same(what, text);
}

template <class T>
void Processes::require_same(repopt::nn::Vgg<T>& model) {
  if (size() > 1) repopt::mpi::require_same_parameters(*all, model);
}

int Processes::run(const std::function<int()>& command) {
  const repopt::mpi::Environment environment;
  all.emplace();
  const int status = command();
  if (status == 1 && size() > 1) all->abort(status);
  all.reset();
  return status;
}

template void Processes::average(repopt::nn::Vgg<float>&);
template void Processes::average(repopt::nn::Vgg<double>&);
template void Processes::synchronize_batch_norms(repopt::nn::Vgg<float>&);
template void Processes::synchronize_batch_norms(repopt::nn::Vgg<double>&);
template void Processes::require_same(repopt::nn::Vgg<float>&);
template void Processes::require_same(repopt::nn::Vgg<double>&);

}  // namespace repopt_cifar
