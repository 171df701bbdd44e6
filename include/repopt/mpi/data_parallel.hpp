// Data-parallel training: every process has the whole network and computes the gradients of its share of each batch.
// Every optimizer gets the mean of these gradients, so all processes take the same step.
//
//     const mpi::Environment environment;
//     const mpi::Communicator processes;
//     mpi::broadcast_parameters(processes, model);
//     mpi::synchronize_batch_norms(processes, model);  // or each process normalises by its own share
//     ...
//     model.zero_grad(); model.forward(share, nn::Phase::train); model.backward(grad_logits);
//     mpi::average_gradients(processes, model);
//     optimizer.clip_grad_norm(5.0);  // clips the mean, as one process would
//     optimizer.step();
//
// With nn::FoldedTraining, average the gradients of its model() before add_gradients(). broadcast_parameters() does not
// copy the branches: draw them from the same seed in every process.
//
// Each process computes GradMult from the scales, so GradMult is never sent: the traffic is the plain network's.
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

/// Copies the parameters, constants and running statistics of process 0 to every process.
template <class T>
void broadcast_parameters(const Communicator& processes, nn::Vgg<T>& model) {
  model.visit_parameters([&](const std::string&, nn::Parameter<T>& p) { processes.broadcast(std::span<T>(p.value)); });
}

/// Replaces each gradient and each running statistic by its mean over the processes, so the running statistics stay
/// equal too. The mean gradient is the gradient of the whole batch if all shares have the same size. Otherwise multiply
/// dL/dlogits by processes.size() * share / batch before the backward pass.
template <class T>
void average_gradients(const Communicator& processes, nn::Vgg<T>& model) {
  model.visit_parameters([&](const std::string&, nn::Parameter<T>& p) { processes.average(std::span<T>(p.grad)); });
  for (const auto& block : model.blocks())
    block->visit_batch_norms([&](nn::BatchNorm2d<T>& bn) {
      processes.average(std::span<T>(bn.running_mean.value));
      processes.average(std::span<T>(bn.running_var.value));
    });
}

/// Makes every batch norm a torch.nn.SyncBatchNorm. From now on, all processes together take each forward pass in
/// training and each backward pass, as one process with the whole batch would. `processes` must outlive the batch
/// norms.
template <class T>
void synchronize_batch_norms(const Communicator& processes, nn::Vgg<T>& model) {
  for (const auto& block : model.blocks())
    block->visit_batch_norms([&](nn::BatchNorm2d<T>& bn) {
      bn.all_reduce = [&processes](std::span<double> values) { processes.sum(values); };
    });
}

/// Throws std::runtime_error on every process unless all processes have the same parameters, to the last bit. The
/// message names the first parameter that differs.
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
