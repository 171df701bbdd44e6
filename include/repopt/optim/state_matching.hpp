// Matches a saved state with an optimizer: parameters by name, then shapes, branches, buffers and options.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/param_group.hpp"
#include "repopt/optim/state_dict.hpp"

namespace repopt {

/// The name and group by which parameters are matched.
struct ParamKey {
  std::string_view name;  ///< the name that was given to add_param()
  std::size_t group = 0;  ///< index of its group
};

/// Returns for each parameter of `own`, in order, the index in `saved` of the parameter with the same name. Throws
/// std::invalid_argument if a name is saved twice, if a name is missing on one side, or if a parameter's group differs.
/// The message names the parameter.
inline std::vector<std::size_t> match_params(std::span<const ParamKey> own, std::span<const ParamKey> saved) {
  std::map<std::string_view, std::size_t> by_name;
  for (std::size_t i = 0; i < saved.size(); ++i)
    require(by_name.emplace(saved[i].name, i).second, "the saved state holds '", saved[i].name, "' twice");
  std::vector<std::size_t> matches;
  for (const ParamKey& param : own) {
    const auto found = by_name.find(param.name);
    require(found != by_name.end(), "the saved state lacks '", param.name, "'");
    const std::size_t saved_group = saved[found->second].group;
    require(saved_group == param.group, "'", param.name, "' is in param_group ", param.group, ", saved in ",
            saved_group);
    matches.push_back(found->second);
    by_name.erase(found);
  }
  if (!by_name.empty()) require(false, "the optimizer lacks '", by_name.begin()->first, "' of the saved state");
  return matches;
}

/// Whether two shapes are equal except for their layouts.
constexpr bool same_convolution(const ConvShape& a, const ConvShape& b) { return a.in_layout(b.layout) == b; }

/// Returns the block of parameter `name` with the scales of `saved`. The branches' shapes must be equal except for
/// their layouts, which have no effect here because nobody holds the branches' weights. Throws std::invalid_argument if
/// a branch differs, naming both shapes, or if a scale is not valid. The message names the parameter.
template <std::floating_point T>
CslaBlock<T> with_saved_scales(std::string_view name, const CslaBlock<T>& block, const std::vector<Branch<T>>& saved) {
  std::vector<Branch<T>> branches = block.branches();
  require(saved.size() == branches.size(), "'", name, "' has ", branches.size(), " branches, the saved state has ",
          saved.size());
  for (std::size_t i = 0; i < saved.size(); ++i) {
    require(same_convolution(saved[i].shape, branches[i].shape), "branch ", i, " of '", name, "' is [",
            describe(branches[i].shape), "], saved is [", describe(saved[i].shape), "]");
    branches[i].scale = saved[i].scale;
    branches[i].validate(block.target(), concat("branch ", i, " of '", name, "'"));
  }
  return {block.target(), std::move(branches)};
}

namespace detail {

/// Whether the saved parameter has a CSLA block. Versions before 0.2 saved every parameter with a block; a plain one
/// had one branch with s = 1, which does not count.
template <std::floating_point T>
bool has_saved_block(const ParamState<T>& saved) {
  if (saved.branches.size() != 1 || !saved.shape) return !saved.branches.empty();
  const Branch<T>& branch = saved.branches[0];
  return !same_convolution(branch.shape, *saved.shape) || std::ranges::any_of(branch.scale, [](T s) { return s != 1; });
}

/// Throws std::invalid_argument unless the saved parameter has the shape of `param`, apart from the layout. Versions
/// before 0.2 saved an ordinary parameter of n elements as a fully connected layer from n features to 1.
template <class Rule, std::floating_point T>
void require_same_shape(const Param<Rule, T>& param, const ParamState<T>& saved) {
  if (param.shape && saved.shape) {
    require(same_convolution(*saved.shape, *param.shape), "'", param.name, "' is [", describe(*param.shape),
            "], saved is [", describe(*saved.shape), "]");
    return;
  }
  require(!param.shape || saved.shape, "'", param.name, "' is a kernel, saved is an ordinary parameter of ", saved.size,
          " elements");
  require(saved.size == param.weight.size(), "'", param.name, "' has ", param.weight.size(), " elements, saved are ",
          saved.size);
  require(!saved.shape || *saved.shape == ConvShape::linear(saved.size, 1), "'", param.name,
          "' is an ordinary parameter, saved is a kernel");
}

/// Returns the rule's state in the layout of the parameter. Throws std::invalid_argument if a buffer has another size,
/// a member is missing or unknown, or the state contradicts itself. The message names the parameter and the member.
template <class Rule, std::floating_point T>
typename Rule::template State<T> load_rule_state(const Param<Rule, T>& param, const ParamState<T>& saved) {
  typename Rule::template State<T> state;
  std::size_t known = 0;
  Rule::visit_state(state, [&](const char* name, auto& member) {
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(member)>, std::vector<T>>) {
      const auto found = saved.buffers.find(name);
      if (found == saved.buffers.end()) return;  // no step needed it yet
      const std::span<const T> buffer = found->second;
      require(buffer.size() == param.weight.size(), name, " of '", param.name, "' has ", param.weight.size(),
              " elements, saved are ", buffer.size());
      member.assign(buffer.begin(), buffer.end());
      if (param.shape) copy_weight<T>(*saved.shape, buffer, *param.shape, member);
    } else {
      const auto found = saved.counters.find(name);
      require(found != saved.counters.end(), "saved state of '", param.name, "' lacks ", name);
      member = found->second;
    }
    ++known;
  });
  if constexpr (requires { Rule::state_fault(state); }) {
    const std::string fault = Rule::state_fault(state);
    require(fault.empty(), "saved state of '", param.name, "': ", fault);
  }
  const std::size_t members = saved.buffers.size() + saved.counters.size();
  require(known == members, "saved state of '", param.name, "' has ", members, " members, rule ", Rule::name, " knows ",
          known, " of them");
  return state;
}

}  // namespace detail

/// The parts of a parameter that load_state_dict() replaces.
template <class Rule, std::floating_point T>
struct LoadedParam {
  std::optional<KernelStream<T>> stream;     ///< the stream of the block with the saved scales; empty without a block
  typename Rule::template State<T> state{};  ///< the rule's state in the layout of the parameter
};

/// Converts `saved` for `param`. Throws std::invalid_argument if a shape, a branch, a buffer's size or a member of the
/// state differs. The message names the parameter and both values.
template <class Rule, std::floating_point T>
LoadedParam<Rule, T> load_param(const Param<Rule, T>& param, const ParamState<T>& saved) {
  detail::require_same_shape(param, saved);
  LoadedParam<Rule, T> loaded;
  if (param.stream)
    loaded.stream.emplace(with_saved_scales(param.name, param.stream->block(), saved.branches));
  else
    require(!detail::has_saved_block(saved), "'", param.name, "' has no CSLA block, the saved state has one of ",
            saved.branches.size(), " branches");
  loaded.state = detail::load_rule_state(param, saved);
  return loaded;
}

/// Returns the state of one parameter. Its buffers are spans into `param`.
template <class Rule, std::floating_point T>
ParamState<T> save_param(const Param<Rule, T>& param, std::size_t group) {
  ParamState<T> saved{param.name, group, param.weight.size(), param.shape, param.branches()};
  Rule::visit_state(param.state, [&](const char* name, const auto& member) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(member)>, std::vector<T>>) {
      if (!member.empty()) saved.buffers[name] = member;
    } else {
      saved.counters[name] = member;
    }
  });
  return saved;
}

/// Returns a group's options by name; a bool is 0 or 1.
template <class Rule>
std::map<std::string, double> save_options(const typename Rule::Options& options) {
  std::map<std::string, double> saved;
  Rule::visit_options(options, [&](const char* name, auto option) { saved[name] = double(option); });
  return saved;
}

/// Returns the saved options. Throws std::invalid_argument if an option is missing, unknown or out of range. The
/// message names the option, or the number of options if one is unknown.
template <class Rule>
typename Rule::Options load_options(const std::map<std::string, double>& saved) {
  typename Rule::Options options;
  std::size_t known = 0;
  Rule::visit_options(options, [&](const char* name, auto& option) {
    const auto found = saved.find(name);
    require(found != saved.end(), "saved state of rule ", Rule::name, " lacks option '", name, "'");
    using Option = std::remove_reference_t<decltype(option)>;
    if constexpr (std::is_same_v<Option, bool>)
      require(found->second == 0 || found->second == 1, "saved option '", name, "' must be 0 or 1, it is ",
              found->second);
    option = static_cast<Option>(found->second);
    ++known;
  });
  require(saved.size() == known, "saved state has ", saved.size(), " options, rule ", Rule::name, " has ", known);
  Rule::validate(options);
  return options;
}

}  // namespace repopt
