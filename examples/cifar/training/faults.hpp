// Messages for a training that diverges: which number is not finite, and where.
#pragma once

#include <cmath>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "repopt/base/error.hpp"
#include "repopt/base/finite.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/optim/rep_optimizer.hpp"

namespace repopt_cifar {

/// The first NaN or infinity among parameters and running statistics, or negative running variance, from the input on;
/// nothing if there is none.
template <template <class> class Model, class T>
std::optional<std::string> network_fault(Model<T>& model) {
  std::optional<std::string> fault;
  model.visit_parameters([&](const std::string& name, auto&& parameter) {
    if (fault) return;
    if (const auto index = repopt::first_non_finite<T>(std::span<const T>(parameter.value)))
      fault = repopt::concat(name, " is ", parameter.value[*index], " at index ", *index);
    else if (name.ends_with("running_var"))
      for (const T variance : parameter.value)
        if (!fault && variance < 0) fault = repopt::concat(name, " holds ", variance, ", a negative variance");
  });
  return fault;
}

/// Returns nothing if the loss is finite. Otherwise describes the loss and the network's first fault. A forward pass in
/// training updates the running statistics, so they show which batch norm was the first to get a NaN or infinity.
template <class T>
std::optional<std::string> loss_fault(std::string_view name, double loss, repopt::nn::Vgg<T>& model) {
  if (std::isfinite(loss)) return std::nullopt;
  return repopt::concat("the ", name, " is ", loss, ": ",
                        network_fault(model).value_or("the network is finite, its logits are not"));
}

/// Describes the first NaN or infinity among the gradients. Returns nothing if all are finite.
template <class Rule, class T>
std::optional<std::string> gradient_fault(const repopt::RepOptimizer<Rule, T>& optimizer) {
  const auto found = optimizer.first_non_finite_grad();
  if (!found) return std::nullopt;
  return repopt::concat("the gradient of ", found->param, " is ", found->value, " at index ", found->index);
}

}  // namespace repopt_cifar
