// What the loops of repopt/optim and repopt/core need to know of tensors: memory, layout and number of threads.
#pragma once

#include <torch/types.h>
#include <torch/utils.h>

#include <cstddef>
#include <optional>
#include <span>

#include "repopt/core/conv_shape.hpp"

namespace repopt::libtorch::detail {

/// The layout of a kernel that is dense in a format: OHWI for channels_last, OIHW for contiguous.
inline WeightLayout layout_of(torch::MemoryFormat format) {
  return format == torch::MemoryFormat::ChannelsLast ? WeightLayout::ohwi : WeightLayout::oihw;
}

/// The format in which a strided tensor is dense: contiguous, else channels_last; empty for other strides.
inline std::optional<torch::MemoryFormat> dense_format(const torch::Tensor& tensor) {
  for (const auto format : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast})
    if (tensor.is_contiguous(format)) return format;
  return std::nullopt;
}

/// Whether the numbers in the tensor's memory are its elements and a loop on the CPU can read them. LibTorch may also
/// keep a tensor negated: its elements are then the negated numbers (is_neg()).
inline bool is_plain_memory(const torch::Tensor& tensor) {
  return tensor.device().is_cpu() && tensor.layout() == torch::kStrided && !tensor.is_neg();
}

/// All elements of a dense tensor in plain memory, in the order of the memory. T is the tensor's precision.
template <class T>
std::span<T> elements(const torch::Tensor& tensor) {
  return {tensor.data_ptr<T>(), std::size_t(tensor.numel())};
}

/// The same, to be changed. Autograd learns of the change, so that it can refuse a backward pass that needs the old
/// elements.
template <class T>
std::span<T> elements_to_change(const torch::Tensor& tensor) {
  tensor.unsafeGetTensorImpl()->bump_version();
  return elements<T>(tensor);
}

/// Makes OpenMP's loops on this thread run on LibTorch's number of threads. LibTorch itself does so at its first
/// parallel loop on a thread.
inline void use_threads_of_libtorch() { static_cast<void>(torch::get_num_threads()); }

}  // namespace repopt::libtorch::detail
