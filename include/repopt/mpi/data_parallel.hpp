// Data-parallel training: every process holds the network and computes the gradients of its share of each batch; their
// mean is what every process's optimizer sees, so all take the same step.
//
//     const mpi::Environment environment;
//     const mpi::Communicator processes;
//     mpi::broadcast_parameters(processes, model);
//     mpi::synchronize_batch_norms(processes, model);  // or each process normalises by its own share
//     ...
//     model.zero_grad(); model.forward(share); model.backward(grad_logits);
//     mpi::average_gradients(processes, model);
//     optimizer.clip_grad_norm(5.0);  // of the mean: what one process would clip
//     optimizer.step();
//
// GradMult is computed by each process from the scales and never travels: the traffic is the plain network's.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "repopt/base/error.hpp"
#include "repopt/base/share.hpp"
#include "repopt/mpi/communicator.hpp"
#include "repopt/nn/models/vgg.hpp"

namespace repopt::mpi {

/// Gives every process the parameters, constants and running statistics that process 0 has.
template <class T>
void broadcast_parameters(const Communicator& processes, nn::Vgg<T>& model) {
  model.visit_parameters([&](const std::string&, nn::Parameter<T>& p) { processes.broadcast(std::span<T>(p.value)); });
}

/// Replaces each gradient by its mean over the processes, and each running statistic, so that these stay equal, too.
/// The mean of the gradients is the whole batch's if all shares have one size; else weigh dL/dlogits by
/// processes.size() * share / batch before.
template <class T>
void average_gradients(const Communicator& processes, nn::Vgg<T>& model) {
  model.visit_parameters([&](const std::string&, nn::Parameter<T>& p) { processes.average(std::span<T>(p.grad)); });
  for (const auto& block : model.blocks())
    block->visit_batch_norms([&](nn::BatchNorm2d<T>& bn) {
      processes.average(std::span<T>(bn.running_mean.value));
      processes.average(std::span<T>(bn.running_var.value));
    });
}

/// torch.nn.SyncBatchNorm for every batch norm: from now on a forward pass in training and a backward pass are done by
/// all processes together, as one process would that has the whole batch. `processes` must outlive them.
template <class T>
void synchronize_batch_norms(const Communicator& processes, nn::Vgg<T>& model) {
  for (const auto& block : model.blocks())
    block->visit_batch_norms([&](nn::BatchNorm2d<T>& bn) {
      bn.all_reduce = [&processes](std::span<double> values) { processes.sum(values); };
    });
}

/// Throws std::runtime_error on every process, naming the first parameter that differs, unless all have the same
/// parameters, to the last bit.
template <class T>
void require_same_parameters(const Communicator& processes, nn::Vgg<T>& model) {
  model.visit_parameters([&](const std::string& name, nn::Parameter<T>& p) {
    std::uint64_t checksum = 14695981039346656037U;  // FNV-1a over 32 or 64 bits at a time
    for (const T value : p.value) {
      using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
      checksum = (checksum ^ std::bit_cast<Bits>(value)) * 1099511628211U;
    }
    processes.require_same("the checksum of '" + name + "'", concat(checksum));
  });
}

}  // namespace repopt::mpi
