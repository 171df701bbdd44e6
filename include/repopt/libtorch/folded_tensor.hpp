// FoldedTensor: a FoldedKernel for one kernel of a module. Its weights and scales are tensors.
#pragma once

#include <torch/types.h>
#include <torch/utils.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/folded_branch.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "repopt/libtorch/dense_tensor.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch::detail {

/// A weight or scale of a folded kernel.
struct FoldedTensorParam {
  std::string name;  ///< the branch's own name, or a default below the layer: "stage1.0.conv.2.weight"
  /// The tensor that is trained, on the kernel's device: a weight (out_channels, in_channels / groups, kh, kw), or a
  /// scale (out_channels). On the CPU it is the memory of the FoldedKernel.
  Tensor value;
  Tensor host;       ///< the memory of the FoldedKernel
  Tensor host_grad;  ///< the memory of its gradient; undefined for a constant scale
  bool decays;       ///< whether weight decay applies
  bool is_scale;     ///< whether it is among a network's scales: a convolution's scale, or an identity's weight
};

/// Folds branches into a kernel tensor. T is the kernel's precision.
template <class T>
class FoldedTensor {
 public:
  /// `branches` are those of branch_in(). Throws std::invalid_argument as FoldedKernel's constructor.
  FoldedTensor(std::string name, const Tensor& kernel, const ConvShape& target, std::vector<FoldedBranch<T>> branches)
      : name_(std::move(name)), kernel_(kernel) {
    format_ = dense_format(kernel).value_or(torch::MemoryFormat::Contiguous);
    folded_ = std::make_shared<FoldedKernel<T>>(target.in_layout(layout_of(format_)), std::move(branches));
    for (const FoldedParameter<T>& param : folded_->parameters()) {
      std::vector<std::int64_t> sizes{std::int64_t(param.value.size())};
      if (param.shape) {
        const auto axes = kernel_sizes(*param.shape);
        sizes.assign(axes.begin(), axes.end());
      }
      FoldedTensorParam& made = params_.emplace_back();
      made.name = param.name;
      made.host = tensor_on(param.value, sizes);
      if (param.is_trained()) made.host_grad = tensor_on(param.grad, sizes);
      made.value = made.host.to(kernel.device()).detach().set_requires_grad(param.is_trained());
      made.decays = param.decays;
      made.is_scale = param.is_identity == param.shape.has_value();
    }
  }

  /// All weights and scales, in the order of the branches.
  const std::vector<FoldedTensorParam>& params() const { return params_; }

  /// Writes the kernel.
  void fold() {
    require_precision();
    copy_to_host();
    if (is_plain_memory(kernel_) && kernel_.is_contiguous(format_)) {
      folded_->fold(elements_to_change<T>(kernel_));
    } else {
      const Tensor folded =
          torch::empty(kernel_.sizes(), torch::dtype(kernel_.dtype()).device(torch::kCPU).memory_format(format_));
      folded_->fold(elements<T>(folded));
      kernel_.copy_(folded);
    }
  }

  /// Sets the gradients from the kernel's; they become undefined if the kernel has none.
  void set_gradients() {
    require_precision();
    const Tensor kernel_grad = kernel_.grad();
    if (kernel_grad.defined()) {
      copy_to_host();
      const Tensor grad = kernel_grad.to(torch::kCPU).resolve_neg().contiguous(format_);
      folded_->zero_grad();
      folded_->add_gradients(elements<T>(grad));
    }
    for (FoldedTensorParam& param : params_)
      if (param.host_grad.defined())
        param.value.mutable_grad() = kernel_grad.defined() ? param.host_grad.to(param.value.device()) : Tensor();
  }

  /// The CSLA block with the current scales. Throws as FoldedKernel::block().
  CslaBlock<double> block() const {
    copy_to_host();
    return block_in<double>(folded_->block(), WeightLayout::oihw);
  }

 private:
  /// A tensor on the memory of the FoldedKernel, which lives as long as the tensor.
  Tensor tensor_on(std::span<T> memory, torch::IntArrayRef sizes) const {
    return torch::from_blob(
        memory.data(), sizes, [owner = folded_](void*) {}, kernel_.dtype());
  }

  void require_precision() const {
    if (kernel_.scalar_type() != params_[0].host.scalar_type())
      require(false, "'", name_, "' holds ", torch::toString(kernel_.scalar_type()), ", its branches hold ",
              torch::toString(params_[0].host.scalar_type()));
  }

  void copy_to_host() const {
    const torch::NoGradGuard no_grad;
    for (const FoldedTensorParam& param : params_)
      if (param.value.data_ptr() != param.host.data_ptr()) Tensor(param.host).copy_(param.value);
  }

  std::string name_;
  Tensor kernel_;
  torch::MemoryFormat format_;
  std::shared_ptr<FoldedKernel<T>> folded_;
  std::vector<FoldedTensorParam> params_;
};

}  // namespace repopt::libtorch::detail
