// Parameter: numbers that a layer owns, and the function type with which a model shows them by name.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"

namespace repopt::nn {

/// Numbers that a layer owns: weights with their gradient, or constants and running statistics, whose requires_grad is
/// false and whose grad is empty. The model gives them their name.
template <class T>
struct Parameter {
  /// Dimensions in PyTorch; a kernel's are (out_channels, in_channels / groups, kh, kw).
  std::vector<std::size_t> dims;
  /// A kernel's shape and layout in memory; other parameters have none and are row-major in `dims`.
  std::optional<ConvShape> conv;
  bool requires_grad = true;  ///< whether it is trained
  bool decays = false;        ///< whether weight decay applies
  bool is_branch = false;     ///< whether it is the kernel of one of the branches that CslaConv2d adds
  std::vector<T> value;       ///< the numbers; their count is the product of `dims`
  std::vector<T> grad;        ///< dL/dvalue; backward passes add to it

  /// Makes a kernel of zeros, which decays.
  static Parameter kernel(const ConvShape& shape) {
    return {.dims = shape.dims(),
            .conv = shape,
            .decays = true,
            .value = std::vector<T>(shape.size()),
            .grad = std::vector<T>(shape.size())};
  }

  /// Makes one number for each channel, which does not decay.
  static Parameter vector(std::size_t channels, T initial) {
    return {.dims = {channels},
            .conv = std::nullopt,
            .value = std::vector<T>(channels, initial),
            .grad = std::vector<T>(channels)};
  }

  /// Makes one number for each channel, which is not trained.
  static Parameter constant(std::size_t channels, T initial) {
    return {.dims = {channels},
            .conv = std::nullopt,
            .requires_grad = false,
            .value = std::vector<T>(channels, initial),
            .grad = {}};
  }
};

/// A view of the numbers of a Parameter or of a folded branch's weights.
template <class T>
struct ParameterView {
  std::vector<std::size_t> dims;    ///< same as Parameter's
  std::optional<ConvShape> conv{};  ///< same as Parameter's
  bool requires_grad = true;        ///< same as Parameter's
  bool decays = false;              ///< same as Parameter's
  std::span<T> value;               ///< the numbers; their count is the product of `dims`
  std::span<T> grad;                ///< dL/dvalue; empty if it is not trained
};

/// Returns a view of a parameter.
template <class T>
ParameterView<T> view_of(Parameter<T>& parameter) {
  return {parameter.dims, parameter.conv, parameter.requires_grad, parameter.decays, parameter.value, parameter.grad};
}

/// Returns the view itself, so that a visitor can take parameters and views.
template <class T>
ParameterView<T> view_of(const ParameterView<T>& view) {
  return view;
}

/// A function that is called as visit(name, parameter). Names are PyTorch's, e.g. "stage1.0.bn.running_mean".
template <class T>
using ParameterVisitor = std::function<void(const std::string& name, Parameter<T>& parameter)>;

/// Says whether a forward pass belongs to training (batch statistics) or to evaluation (running statistics).
enum class Phase { train, eval };

}  // namespace repopt::nn
