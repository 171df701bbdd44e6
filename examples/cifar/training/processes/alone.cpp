// Processes without MPI: there is only this process.
#include "training/processes.hpp"

namespace repopt_cifar {

std::size_t Processes::rank() { return 0; }
std::size_t Processes::size() { return 1; }
void Processes::sum(std::span<double>) {}
void Processes::require_same(std::string_view, const std::string&) {}
int Processes::run(const std::function<int()>& command) { return command(); }

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
