// StateDict: an optimizer's state by parameter name, as plain data that can be written to a file.
#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"

namespace repopt {

/// The state of one parameter.
template <std::floating_point T>
struct ParamState {
  std::string name;                   ///< the name that was given to add_param()
  std::size_t group = 0;              ///< index of its group in StateDict::param_groups
  std::size_t size = 0;               ///< number of elements of the weight and of every buffer
  std::optional<ConvShape> shape{};   ///< shape and layout of a kernel and its buffers; empty for an ordinary parameter
  std::vector<Branch<T>> branches{};  ///< the CSLA block's branches with their scales; empty without a block
  std::map<std::string, std::span<const T>> buffers{};  ///< the existing buffers, e.g. "momentum_buffer"
  std::map<std::string, std::size_t> counters{};        ///< counters of the rule, e.g. AdamW's "step"
};

/// The state of a RepOptimizer. The spans point into the optimizer that saved it, or into memory of the caller that
/// loads it.
template <std::floating_point T>
struct StateDict {
  std::string rule;                                         ///< Rule::name
  std::vector<std::map<std::string, double>> param_groups;  ///< each group's options by name; a bool is 0 or 1
  std::vector<ParamState<T>> params;                        ///< the parameters of all groups
};

}  // namespace repopt
