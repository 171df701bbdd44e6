// LazyTensor: a tensor, or one whose batch norm and ReLU its readers apply.
#pragma once

#include <optional>

#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// What one layer hands to the next: `values` or, if `affine` is set, relu(scale * values + shift), which is applied
/// where it is read. So a block stores the output of its convolution only. A view: everything must outlive it.
template <class T>
struct LazyTensor {
  const Tensor<T>* values = nullptr;       ///< (batch, height, width, channels)
  std::optional<InputAffine<T>> affine{};  ///< what readers apply

  LazyTensor() = default;
  /// Any tensor may stand where a lazy one is wanted.
  LazyTensor(const Tensor<T>& tensor) : values(&tensor) {}
  /// relu(scale * tensor + shift).
  LazyTensor(const Tensor<T>& tensor, const InputAffine<T>& map) : values(&tensor), affine(map) {}

  /// (batch, height, width, channels), and the affine map as the engine takes it.
  /// @{
  const ImageShape& shape() const { return values->shape(); }
  const InputAffine<T>* affine_or_null() const { return affine ? &*affine : nullptr; }
  /// @}

  /// The tensor itself: `values`, or the result in `memory`.
  const Tensor<T>& evaluate(Tensor<T>& memory) const {
    if (!affine) return *values;
    memory.resize(shape());
    for_each_pixel(memory,
                   [&](std::size_t p) { affine->apply(values->pixel(p), memory.pixel(p), 0, shape().channels); });
    return memory;
  }
};

}  // namespace repopt::nn
