// Parameter: the numbers that a layer owns, and how a model shows them by name.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"

namespace repopt::nn {

/// A kernel's dimensions as PyTorch has them: (out_channels, in_channels / groups, kh, kw).
inline std::vector<std::size_t> kernel_dims(const ConvShape& shape) {
  return {shape.out_channels, shape.in_per_group(), shape.kernel_size[0], shape.kernel_size[1]};
}

/// Numbers that a layer owns, under a name that its model gives: weights with their gradient, or constants and running
/// statistics (requires_grad is false and grad empty).
template <class T>
struct Parameter {
  std::vector<std::size_t> dims;  ///< as PyTorch's; a kernel's are (out_channels, in_channels / groups, kh, kw)
  std::optional<ConvShape> conv;  ///< of a kernel: its layout in memory. Everything else lies as `dims` says
  bool requires_grad = true;      ///< whether it is trained
  bool decays = false;            ///< whether weight decay applies
  bool is_branch = false;         ///< of a kernel: whether it is one of the branches that CslaConv2d adds up
  std::vector<T> value;           ///< as many as `dims` says
  std::vector<T> grad;            ///< dL/dvalue, which backward passes add to

  /// A kernel; it decays.
  static Parameter kernel(const ConvShape& shape) {
    return {.dims = kernel_dims(shape),
            .conv = shape,
            .decays = true,
            .value = std::vector<T>(shape.size()),
            .grad = std::vector<T>(shape.size())};
  }

  /// One number for each channel; it does not decay.
  static Parameter vector(std::size_t channels, T initial) {
    return {.dims = {channels},
            .conv = std::nullopt,
            .value = std::vector<T>(channels, initial),
            .grad = std::vector<T>(channels)};
  }

  /// One number for each channel that no gradient trains.
  static Parameter constant(std::size_t channels, T initial) {
    return {.dims = {channels},
            .conv = std::nullopt,
            .requires_grad = false,
            .value = std::vector<T>(channels, initial),
            .grad = {}};
  }
};

/// The same numbers wherever they lie: a view of a Parameter, or of a folded branch's weights.
template <class T>
struct ParameterView {
  std::vector<std::size_t> dims;    ///< as Parameter's
  std::optional<ConvShape> conv{};  ///< likewise
  bool requires_grad = true;        ///< likewise
  bool decays = false;              ///< likewise
  std::span<T> value;               ///< as many as `dims` says
  std::span<T> grad;                ///< dL/dvalue; empty if nothing trains it
};

/// A parameter, seen as a view.
template <class T>
ParameterView<T> view_of(Parameter<T>& parameter) {
  return {parameter.dims, parameter.conv, parameter.requires_grad, parameter.decays, parameter.value, parameter.grad};
}

/// The same for what is a view already, so that a visitor may take either.
template <class T>
ParameterView<T> view_of(const ParameterView<T>& view) {
  return view;
}

/// visit(name, parameter); names as PyTorch's, e.g. "stage1.0.bn.running_mean".
template <class T>
using ParameterVisitor = std::function<void(const std::string& name, Parameter<T>& parameter)>;

/// Whether a forward pass belongs to training (batch statistics) or evaluation (running statistics).
enum class Phase { train, eval };

}  // namespace repopt::nn
