// Processes without MPI: there is only this process.
#include "training/processes.hpp"

#include <cstdio>
#include <cstdlib>

namespace repopt_cifar {

std::size_t Processes::rank() { return 0; }
std::size_t Processes::size() { return 1; }
void Processes::sum(std::span<double>) {}
void Processes::require_same(std::string_view, const std::string&) {}
int Processes::run(const std::function<int()>& command) {
  // Without MPI, every process that mpirun starts would train the whole network by itself.
  for (const char* const name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* const size = std::getenv(name);
    if (size == nullptr || std::atoi(size) < 2) continue;
    std::fprintf(stderr,
                 "error: mpirun has started %s processes, but this program was built without MPI: configure "
                 "it with -DREPOPT_MPI=ON\n",
                 size);
    return 1;
  }
  return command();
}

template <class T>
void Processes::average(repopt::nn::Vgg<T>&) {}
template <class T>
void Processes::synchronize_batch_norms(repopt::nn::Vgg<T>&) {}
template <class T>
void Processes::require_same(repopt::nn::Vgg<T>&) {}

template void Processes::average(repopt::nn::Vgg<float>&);
template void Processes::average(repopt::nn::Vgg<double>&);
template void Processes::synchronize_batch_norms(repopt::nn::Vgg<float>&);
template void Processes::synchronize_batch_norms(repopt::nn::Vgg<double>&);
template void Processes::require_same(repopt::nn::Vgg<float>&);
template void Processes::require_same(repopt::nn::Vgg<double>&);

}  // namespace repopt_cifar
