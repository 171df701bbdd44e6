// DenseMemory: the memory of a parameter that the loops of repopt/optim can walk through.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <optional>
#include <span>

#include "repopt/base/error.hpp"
#include "repopt/libtorch/dense_tensor.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// The memory of a parameter and of its gradient, both in the format of the parameter: contiguous or channels_last.
template <class T>
class DenseMemory {
 public:
  /// Both tensors are on the CPU and hold T; `weight` is dense in `format`. A gradient with other strides is copied.
  DenseMemory(const Tensor& weight, const Tensor& grad, torch::MemoryFormat format)
      : weight_(weight), grad_(grad.contiguous(format)), format_(format) {}

  /// All elements of the parameter, to be changed: (out_channels, in_channels / groups, kh, kw) in OIHW or OHWI for a
  /// kernel. Autograd learns of the change.
  std::span<T> weight() const { return detail::elements_to_change<T>(weight_); }

  /// All elements of the gradient, in the same order.
  std::span<const T> grad() const { return detail::elements<T>(grad_); }

  /// The elements of a buffer of a rule's state. A buffer that is not defined becomes zeros. A buffer of another
  /// format, precision or device is converted for this and all later steps. Throws std::invalid_argument if its sizes
  /// are not the parameter's.
  std::span<T> buffer(Tensor& buffer) const {
    if (!buffer.defined()) buffer = torch::zeros_like(weight_);
    if (buffer.sizes() != weight_.sizes())
      require(false, "a parameter has sizes ", describe_sizes(weight_.sizes()), ", its state has ",
              describe_sizes(buffer.sizes()));
    if (buffer.device() != weight_.device() || buffer.scalar_type() != weight_.scalar_type() ||
        !buffer.is_contiguous(format_))
      buffer = buffer.to(weight_.options()).contiguous(format_);
    return detail::elements<T>(buffer);
  }

 private:
  Tensor weight_, grad_;
  torch::MemoryFormat format_;
};

/// Calls visit(memory, stream) with a DenseMemory<T> and the parameter's KernelStream<T> or PlainStream<T>, and returns
/// true. Returns false, and calls nothing, if the loops of repopt/optim cannot walk through the tensors: they take
/// float and double on the CPU, and weights that are contiguous or channels_last.
bool visit_dense(const Tensor& weight, const Tensor& grad, TensorBlock& block, auto visit) {
  const bool fits_block = !block.block() || std::size_t(weight.numel()) == block.block()->target().size();
  const bool is_plain = detail::is_plain_memory(weight) && detail::is_plain_memory(grad);
  const auto format = is_plain ? detail::dense_format(weight) : std::nullopt;
  if (!format || grad.sizes() != weight.sizes() || grad.scalar_type() != weight.scalar_type() || !fits_block)
    return false;
  const auto visit_as = [&]<class T>(T) {
    const DenseMemory<T> memory(weight, grad, *format);
    block.template visit_stream<T>(detail::layout_of(*format), [&](const auto& stream) { visit(memory, stream); });
    return true;
  };
  if (weight.scalar_type() == torch::kFloat) return visit_as(float());
  if (weight.scalar_type() == torch::kDouble) return visit_as(double());
  return false;
}

}  // namespace repopt::libtorch
