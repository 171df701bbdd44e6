// GradMult: the tensor that the target kernel's gradient is multiplied with.
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>
#include <vector>

#include "repopt/core/csla_block.hpp"

namespace repopt {

/// Rule of Iteration (arXiv 2205.15242, section 3 and appendix A): GradMult = sum_i embed_i(s_i^2).
///
/// Training the kernel W' = sum_i embed_i(s_i * W_i) with grad' = GradMult * grad is training the W_i. The chain rule
/// gives dL/dW_i = s_i * (dL/dW')|_i, and the update of W_i enters W' once more times s_i. This holds for every rule
/// that is linear in weight and gradient; for AdamW and Lion, which are not, see there.
///
/// This is the paper's dense tensor. An optimizer does without it: KernelStream generates the same multipliers while
/// the weights stream by.
template <std::floating_point T>
class GradMult {
 public:
  /// Computes the tensor.
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
