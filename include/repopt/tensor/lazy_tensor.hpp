// LazyTensor: a tensor, or a tensor to which its readers apply a batch norm and ReLU.
#pragma once

#include <cstddef>
#include <optional>

#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// The input that one layer hands to the next: `values` or, if `affine` is set, relu(scale * values + shift), which the
/// reader computes. So a block stores only the output of its convolution. This is a view: the tensor, scale and shift
/// must outlive it.
template <class T>
struct LazyTensor {
  const Tensor<T>* values = nullptr;       ///< (batch, height, width, channels)
  std::optional<InputAffine<T>> affine{};  ///< the map that readers apply, if any

  LazyTensor() = default;
  /// A tensor without a map; it converts implicitly.
  LazyTensor(const Tensor<T>& tensor) : values(&tensor) {}
  /// relu(scale * tensor + shift), with the scale and shift of `map`.
  LazyTensor(const Tensor<T>& tensor, const InputAffine<T>& map) : values(&tensor), affine(map) {}

  /// The dimensions, and the map as the engine takes it: null if there is none.
  /// @{
  const ImageShape& shape() const { return values->shape(); }
  const InputAffine<T>* affine_or_null() const { return affine ? &*affine : nullptr; }
  /// @}

  /// The evaluated tensor: `values` if there is no map, otherwise `memory`, into which the result is written.
  const Tensor<T>& evaluate(Tensor<T>& memory) const {
    if (!affine) return *values;
    memory.resize(shape());
    for_each_pixel(memory,
                   [&](std::size_t p) { affine->apply(values->pixel(p), memory.pixel(p), 0, shape().channels); });
    return memory;
  }
};

}  // namespace repopt::nn
