// RepOptimizer's state_dict() and load_state_dict(). Included by rep_optimizer.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "repopt/optim/state_dict.hpp"

namespace repopt {

namespace detail {

/// A parameter's state in its optimizer's own layout and types, ready to be swapped in.
template <class Rule, std::floating_point T>
struct LoadedParam {
  CslaBlock<T> block;
  typename Rule::template State<T> state;
};

template <class Rule>
typename Rule::Options load_options(const std::map<std::string, double>& saved) {
  typename Rule::Options options;
  std::size_t known = 0;
  Rule::visit_options(options, [&](const char* name, auto& option) {
    const auto found = saved.find(name);
    require(found != saved.end(), "saved state of rule ", Rule::name, " lacks option '", name, "'");
    option = static_cast<std::remove_reference_t<decltype(option)>>(found->second);
    ++known;
  });
  require(saved.size() == known, "saved state has ", saved.size(), " options, rule ", Rule::name, " has ", known);
  Rule::validate(options);
  return options;
}

/// Branch shapes must agree but for the layout, which is only the order of weights that nobody holds any more.
template <std::floating_point T>
void require_equal_branches(const std::string& name, const CslaBlock<T>& block, const std::vector<Branch<T>>& saved) {
  require(saved.size() == block.branches().size(), "'", name, "' has ", block.branches().size(),
          " branches, the saved state has ", saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    ConvShape shape = saved[i].shape;
    shape.layout = block.branches()[i].shape.layout;
    require(shape == block.branches()[i].shape, "branch ", i, " of '", name, "' is [",
            describe(block.branches()[i].shape), "], saved is [", describe(shape), "]");
  }
}

template <class Rule, std::floating_point T>
LoadedParam<Rule, T> load_param(const Param<Rule, T>& param, const ParamState<T>& saved) {
  const ConvShape& target = param.block.target();
  ConvShape shape = saved.shape;
  shape.layout = target.layout;
  require(shape == target, "'", param.name, "' is [", describe(target), "], saved is [", describe(saved.shape), "]");
  require_equal_branches(param.name, param.block, saved.branches);
  std::vector<Branch<T>> branches = param.block.branches();
  for (std::size_t i = 0; i < branches.size(); ++i) branches[i].scale = saved.branches[i].scale;

  LoadedParam<Rule, T> loaded{{target, std::move(branches)}, {}};
  std::size_t known = 0;
  Rule::visit_state(loaded.state, [&](const char* name, auto& member) {
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(member)>, std::vector<T>>) {
      const auto found = saved.buffers.find(name);
      if (found == saved.buffers.end()) return;  // no step needed it yet
      require(found->second.size() == target.size(), name, " of '", param.name, "' has ", target.size(),
              " elements, saved are ", found->second.size());
      member.resize(target.size());
      copy_weight<T>(saved.shape, found->second, target, member);
    } else {
      const auto found = saved.counters.find(name);
      require(found != saved.counters.end(), "saved state of '", param.name, "' lacks ", name);
      member = found->second;
    }
    ++known;
  });
  if constexpr (requires { Rule::validate_state(loaded.state); }) {
    try {
      Rule::validate_state(loaded.state);
    } catch (const std::invalid_argument& error) {
      require(false, "saved state of '", param.name, "': ", error.what());
    }
  }
  require(known == saved.buffers.size() + saved.counters.size(), "saved state of '", param.name, "' has ",
          saved.buffers.size() + saved.counters.size(), " members, rule ", Rule::name, " knows ", known, " of them");
  return loaded;
}

}  // namespace detail

template <class Rule, std::floating_point T>
  requires UpdateRule<Rule, T>
auto RepOptimizer<Rule, T>::state_dict() const -> StateDict<T> {
  StateDict<T> dict{.rule = std::string(Rule::name), .param_groups = {}, .params = {}};
  for (std::size_t group = 0; group < param_groups_.size(); ++group) {
    auto& options = dict.param_groups.emplace_back();
    Rule::visit_options(param_groups_[group].options(),
                        [&](const char* name, auto option) { options[name] = double(option); });
    for (const Param<Rule, T>& param : param_groups_[group].params()) {
      ParamState<T> saved{param.name, group, param.block.target(), param.block.branches(), {}, {}};
      Rule::visit_state(param.state, [&](const char* name, const auto& member) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, std::vector<T>>) {
          if (!member.empty()) saved.buffers[name] = member;
        } else {
          saved.counters[name] = member;
        }
      });
      dict.params.push_back(std::move(saved));
    }
  }
  return dict;
}

template <class Rule, std::floating_point T>
  requires UpdateRule<Rule, T>
void RepOptimizer<Rule, T>::load_state_dict(const StateDict<T>& saved) {
  require(saved.rule == Rule::name, "the optimizer's rule is ", Rule::name, ", the saved one is ", saved.rule);
  require(saved.param_groups.size() == param_groups_.size(), "the optimizer has ", param_groups_.size(),
          " param_groups, the saved state has ", saved.param_groups.size());
  std::map<std::string, const ParamState<T>*> by_name;
  for (const ParamState<T>& param : saved.params)
    require(by_name.emplace(param.name, &param).second, "the saved state holds '", param.name, "' twice");

  std::vector<Options> options;
  std::vector<detail::LoadedParam<Rule, T>> loaded;
  for (std::size_t group = 0; group < param_groups_.size(); ++group) {
    options.push_back(detail::load_options<Rule>(saved.param_groups[group]));
    for (const Param<Rule, T>& param : param_groups_[group].params()) {
      const auto found = by_name.find(param.name);
      require(found != by_name.end(), "the saved state lacks '", param.name, "'");
      require(found->second->group == group, "'", param.name, "' is in param_group ", group, ", saved in ",
              found->second->group);
      loaded.push_back(detail::load_param(param, *found->second));
      by_name.erase(found);
    }
  }
  if (!by_name.empty()) require(false, "the optimizer lacks '", by_name.begin()->first, "' of the saved state");

  clip_coef_ = 1;  // a clip that waited was for another state
  clip_waits_ = false;
  auto next = loaded.begin();
  for (std::size_t group = 0; group < param_groups_.size(); ++group) {
    param_groups_[group].options_ = options[group];
    for (Param<Rule, T>& param : param_groups_[group].params_) {
      param.block = std::move(next->block);
      param.state = std::move(next->state);
      ++next;
    }
  }
}

}  // namespace repopt
