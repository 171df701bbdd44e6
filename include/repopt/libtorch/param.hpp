// Param: one parameter of an optimizer, and its place in an archive.
#pragma once

#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/libtorch/archive.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// The data that an optimizer keeps for one parameter. The tensor itself is in its torch::optim::OptimizerParamGroup.
template <class Rule>
struct Param {
  std::string name;              ///< the name in Module::named_parameters()
  TensorBlock block;             ///< the block that the parameter stands for
  typename Rule::State state{};  ///< the state that the rule keeps from step to step
};

/// Writes one parameter: "name", "group" (the index of its group), "state", and, if it has a block, the tensors of
/// write_block().
template <class Rule>
void write_param(torch::serialize::OutputArchive& archive, const Param<Rule>& param, std::size_t group) {
  archive.write("name", param.name);
  archive.write("group", std::int64_t(group));
  if (const auto& block = param.block.block()) write_block(archive, *block);
  torch::serialize::OutputArchive state(archive.compilation_unit());
  param.state.serialize(state);
  archive.write("state", state);
}

/// The archive of a parameter whose name and group have been read.
struct SavedParam {
  std::string name;                          ///< the saved name
  std::size_t group = 0;                     ///< the index of its group
  torch::serialize::InputArchive archive{};  ///< written by write_param()
};

/// Opens the archive of a parameter. Throws c10::Error if name or group is missing.
inline SavedParam open_param(torch::serialize::InputArchive archive) {
  c10::IValue name, group;
  archive.read("name", name);
  archive.read("group", group);
  return {name.toStringRef(), std::size_t(group.toInt()), std::move(archive)};
}

namespace detail {

/// Reads a rule's state for parameter `name`, whose tensor is `weight`. Throws as read_param().
template <class Rule>
typename Rule::State read_state(torch::serialize::InputArchive& archive, const std::string& name,
                                const Tensor& weight) {
  torch::serialize::InputArchive saved;
  archive.read("state", saved);
  typename Rule::State state;
  state.serialize(saved);
  if constexpr (requires { Rule::state_fault(state); }) {
    const std::string fault = Rule::state_fault(state);
    require(fault.empty(), "saved state of '", name, "': ", fault);
  }
  Rule::visit_buffers(state, [&](const char* buffer_name, Tensor& buffer) {
    if (!buffer.defined()) return;
    require(buffer.sizes() == weight.sizes(), buffer_name, " of '", name, "' has sizes ",
            describe_sizes(weight.sizes()), ", saved are ", describe_sizes(buffer.sizes()));
    require(buffer.scalar_type() == weight.scalar_type(), buffer_name, " of '", name, "' holds ",
            torch::toString(weight.scalar_type()), ", saved is ", torch::toString(buffer.scalar_type()));
    buffer = buffer.to(weight.device());
  });
  return state;
}

}  // namespace detail

/// Returns `own`, whose tensor is `weight`, with the saved scales and state. Throws std::invalid_argument, naming the
/// parameter, if only one of both has a block, if a shape or a branch differs, if a scale is not valid in the tensor's
/// precision, if the size or type of a buffer differs, or if the state contradicts itself; c10::Error if something is
/// missing.
template <class Rule>
Param<Rule> read_param(torch::serialize::InputArchive& archive, const Param<Rule>& own, const Tensor& weight) {
  Param<Rule> loaded{own.name, own.block};
  const auto& block = own.block.block();
  torch::Tensor shapes;
  const bool has_saved_block = archive.try_read("shapes", shapes);
  require(has_saved_block == block.has_value(), "'", own.name, "' has ", block ? "a" : "no",
          " CSLA block, the saved state has ", has_saved_block ? "one" : "none");
  if (block) loaded.block = {own.name, read_scales(archive, own.name, *block), weight.options()};
  loaded.state = detail::read_state<Rule>(archive, own.name, weight);
  return loaded;
}

}  // namespace repopt::libtorch
