// Adds the parameters of a network, or of its folded branches, to an optimizer.
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"

namespace repopt::nn::detail {

/// Throws std::invalid_argument if `optimizer` already has the name or the memory of a trained parameter of `model`.
template <class Rule, class T>
void require_new_parameters(const RepOptimizer<Rule, T>& optimizer, auto& model) {
  for (const auto& group : optimizer.param_groups())
    for (const auto& param : group.params())
      model.visit_parameters([&](const std::string& name, auto&& p) {
        if (!p.requires_grad) return;
        require(param.name != name, "the optimizer already has a parameter '", name, "'");
        const std::span<const T> value = p.value, grad = p.grad;
        require(!overlap<T>(param.weight, value) && !overlap<T>(param.weight, grad) && !overlap<T>(param.grad, value),
                "the optimizer's parameter '", param.name, "' and '", name, "' overlap in memory");
      });
}

/// Adds every trained parameter of `model`, which is a Vgg or a FoldedTraining, to `optimizer`, in two groups:
/// parameters that decay with options.weight_decay, and all others without weight decay. `blocks` gives CSLA blocks to
/// kernels, by name; they must fit. Throws std::invalid_argument, and leaves the optimizer unchanged, if an option is
/// out of range or if the optimizer already has the name or the memory of a parameter.
template <class Rule, class T>
void add_parameter_groups(RepOptimizer<Rule, T>& optimizer, auto& model, const typename Rule::Options& options,
                          std::map<std::string, CslaBlock<T>> blocks) {
  auto not_decayed_options = options;
  not_decayed_options.weight_decay = 0;
  Rule::validate(options);
  Rule::validate(not_decayed_options);
  require_new_parameters(optimizer, model);
  auto& decayed = optimizer.add_param_group(options);
  auto& not_decayed = optimizer.add_param_group(not_decayed_options);
  model.visit_parameters([&](const std::string& name, auto&& p) {
    if (!p.requires_grad) return;
    auto& group = p.decays ? decayed : not_decayed;
    if constexpr (ReparameterizableRule<Rule, T>)
      if (auto block = blocks.extract(name); !block.empty())
        return group.add_param(name, p.value, p.grad, std::move(block.mapped()));
    if (p.conv)
      group.add_param(name, p.value, p.grad, *p.conv);
    else
      group.add_param(name, p.value, p.grad);
  });
}

}  // namespace repopt::nn::detail
