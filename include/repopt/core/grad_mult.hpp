// GradMult: the tensor that the target kernel's gradient is multiplied with.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/core/csla_block.hpp"

namespace repopt {

/// Rule of Iteration (arXiv 2205.15242, section 3 and appendix A): GradMult = sum_i embed_i(s_i^2).
///
/// Training the kernel W' = sum_i embed_i(s_i * W_i) with grad' = GradMult * grad is training the W_i: the chain rule
/// gives dL/dW_i = s_i * (dL/dW')|_i, the update of W_i enters W' once more times s_i, and whatever else an update rule
/// does must be linear in weight and gradient. For AdamW, which is not, see AdamW.
///
/// A view of `block`, which must outlive it. Multipliers are generated from the O(branches x out_channels) scales, or
/// read from the one row of a tap that all its rows share.
template <std::floating_point T>
class GradMult {
 public:
  /// Keeps a reference.
  explicit GradMult(const CslaBlock<T>& block) : block_(block) {}
  explicit GradMult(const CslaBlock<T>&&) = delete;

  /// The multipliers of elements first, first + 1, ... of the kernel, for a chunk of CslaBlock::for_each_chunk(): in
  /// the chunk or in memory of the block.
  const T* of_chunk(std::size_t first, std::span<T> chunk) const { return block_.sum_of_squares(first, chunk); }

  /// The paper's tensor: (out_channels, in_channels / groups, kh, kw) in the layout of the target.
  std::vector<T> dense() const {
    std::vector<T> grad_mult(block_.target().size());
    block_.for_each_chunk([&](std::size_t first, std::span<T> chunk) {
      std::copy_n(of_chunk(first, chunk), chunk.size(), grad_mult.data() + first);
    });
    return grad_mult;
  }

 private:
  const CslaBlock<T>& block_;
};

}  // namespace repopt
