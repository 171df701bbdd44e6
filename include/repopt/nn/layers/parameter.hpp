// Parameter: the numbers that a layer owns, and how a model shows them by name.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"

namespace repopt::nn {

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
    return {.dims = {shape.out_channels, shape.in_per_group(), shape.kernel_size[0], shape.kernel_size[1]},
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

/// visit(name, parameter); names as PyTorch's, e.g. "stage1.0.bn.running_mean".
template <class T>
using ParameterVisitor = std::function<void(const std::string& name, Parameter<T>& parameter)>;

/// Whether a forward pass belongs to training (batch statistics) or evaluation (running statistics).
enum class Phase { train, eval };

}  // namespace repopt::nn
