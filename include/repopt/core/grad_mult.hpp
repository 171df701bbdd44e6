// GradMult: the tensor that multiplies the target kernel's gradient.
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>
#include <vector>

#include "repopt/core/csla_block.hpp"

namespace repopt {

/// The Rule of Iteration (arXiv 2205.15242, section 3 and appendix A): GradMult = sum_i embed_i(s_i^2).
///
/// Training the kernel W' = sum_i embed_i(s_i * W_i) with grad' = GradMult * grad has the same effect as training the
/// W_i. The first factor s_i comes from the chain rule: dL/dW_i = s_i * (dL/dW')|_i. The second comes from the sum: W'
/// contains s_i * W_i. This holds for every rule that is linear in weight and gradient. AdamW and Lion are not linear:
/// adamw.hpp and lion.hpp give their forms.
///
/// This is the paper's dense tensor. The optimizers do not need it: KernelStream generates the same multipliers while
/// the weights stream by.
template <std::floating_point T>
class GradMult {
 public:
  /// Computes the tensor for `block`.
  explicit GradMult(const CslaBlock<T>& block) : dense_(block.target().size()) {
    block.sum(dense_, [](T s, std::size_t, std::size_t) { return s * s; });
  }

  /// The tensor: (out_channels, in_channels / groups, kh, kw) in the layout of the target.
  /// @{
  const std::vector<T>& dense() const& { return dense_; }
  std::vector<T> dense() && { return std::move(dense_); }
  /// @}

 private:
  std::vector<T> dense_;
};

}  // namespace repopt
