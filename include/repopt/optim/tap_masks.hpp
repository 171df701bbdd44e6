// TapMasks: sums over the branches of an OIHW kernel that connect all channels of a group.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "repopt/optim/chunks.hpp"

namespace repopt {

/// The taps that each branch covers, as ones and zeros in the order of a row. A row is all weights of one output
/// channel. In OIHW it repeats the kernel's taps for each input channel. So sums over the branches need a
/// multiplication and an addition for each branch and weight, without strided loops, which compilers do not turn into
/// vector code. Serves branches with the target's own groups; the others, such as an identity, are left to the caller.
template <std::floating_point T>
class TapMasks {
 public:
  /// Makes the masks for `block`, whose target must be in OIHW.
  explicit TapMasks(const CslaBlock<T>& block) : taps_(block.target().taps()) {
    const ConvShape& target = block.target();
    for (std::size_t i = 0; i < block.branches().size(); ++i) {
      const ConvShape& shape = block.branches()[i].shape;
      if (!serves(shape, target)) continue;
      if (shape.taps() == taps_)
        whole_.push_back(i);
      else
        partial_.push_back({i, mask(shape, target)});
    }
  }

  /// Whether sum() includes a branch of this shape.
  static constexpr bool serves(const ConvShape& branch, const ConvShape& target) {
    return target.layout == WeightLayout::oihw && branch.groups == target.groups;
  }

  /// A sum over the branches of one row, computed as it is read.
  struct MaskedSum {
    T whole;        ///< sum over the branches that cover all taps, the same for each element
    T masked;       ///< term of the branch that covers a part of the taps
    const T* mask;  ///< it holds 1 for each element that this branch covers, otherwise 0

    /// The sum for one element.
    T operator[](std::size_t k) const { return whole + masked * mask[k]; }
  };

  /// Returns the sum of term(s_i) over the served branches i that cover elements in_row, ..., in_row + max_chunk - 1 of
  /// row `row`, if one branch alone covers a part of the taps. `block` is the one that was given to the constructor.
  std::optional<MaskedSum> masked_sum(const CslaBlock<T>& block, std::size_t row, std::size_t in_row, auto term) const {
    if (partial_.size() != 1) return std::nullopt;
    const Partial& only = partial_.front();
    return MaskedSum{sum_of_whole(block, row, term), term(block.branches()[only.index].scale[row]),
                     only.mask.data() + in_row % taps_};
  }

  /// Computes out[k] = sum of term(s_i) over the served branches i that cover element in_row + k of row `row`. Terms
  /// must be finite.
  void sum(const CslaBlock<T>& block, std::size_t row, std::size_t in_row, std::span<T> out, auto term) const {
    std::ranges::fill(out, sum_of_whole(block, row, term));
    for (const Partial& branch : partial_) {
      const T value = term(block.branches()[branch.index].scale[row]);
      for (std::size_t done = 0; done < out.size(); done += max_chunk) {
        T* const sums = out.data() + done;
        const T* const mask = branch.mask.data() + (in_row + done) % taps_;
        for_each_independent(std::min(out.size() - done, max_chunk),
                             [=](std::size_t k) { sums[k] += value * mask[k]; });
      }
    }
  }

 private:
  struct Partial {
    std::size_t index;    ///< the branch's place in the block
    std::vector<T> mask;  ///< it holds one period of taps and the max_chunk elements after it
  };

  T sum_of_whole(const CslaBlock<T>& block, std::size_t row, auto term) const {
    T sum = 0;
    for (const std::size_t branch : whole_) sum += term(block.branches()[branch].scale[row]);
    return sum;
  }

  /// The mask of a branch: 1 for the taps that it covers, 0 for the others, repeated.
  std::vector<T> mask(const ConvShape& branch, const ConvShape& target) const {
    std::vector<T> mask(taps_ + max_chunk);
    const Placement placed(branch, target);
    for (std::size_t y = 0; y < branch.kernel_size[0]; ++y)
      for (std::size_t x = 0; x < branch.kernel_size[1]; ++x)
        for (std::size_t k = target.offset(placed({.row = y, .column = x})); k < mask.size(); k += taps_) mask[k] = 1;
    return mask;
  }

  std::size_t taps_ = 1;
  std::vector<std::size_t> whole_;  ///< the branches that cover all taps
  std::vector<Partial> partial_;    ///< the branches that cover some of them
};

}  // namespace repopt
