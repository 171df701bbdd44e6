// KernelStream: generates the multipliers of a kernel that stands for a CSLA block, while the kernel's weights stream
// by.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/tap_masks.hpp"

namespace repopt {

/// Computes sum_i embed_i(term(s_i)) over the branches of a block, for any span of the target kernel in the order of
/// its memory. CslaBlock::sum() gives the same results, but it scatters each branch over a tensor as large as the
/// kernel. This class visits the branches that cover a span one after another, so an update only needs memory for one
/// chunk.
template <std::floating_point T>
class KernelStream {
 public:
  /// Keeps `block`. In HWIO, keeps also at most one row of multipliers and max_chunk elements for each tap; in OIHW,
  /// the TapMasks.
  explicit KernelStream(CslaBlock<T> block) : block_(std::move(block)) {
    if (block_.target().layout == WeightLayout::oihw) tap_masks_ = TapMasks<T>(block_);
    find_branch_runs();
    cache_multiplier_rows();
  }

  /// The block that was given to the constructor.
  const CslaBlock<T>& block() const { return block_; }

  /// Calls visit(s_i, k) for each k < count and each branch i that covers element first + k of the kernel. The order is
  /// row by row, and branch by branch within a row. The loops become vector code if `visit` captures by value.
  void for_each_branch_scale(std::size_t first, std::size_t count, auto visit) const {
    for_each_row(first, count, [&](std::size_t row, std::size_t pattern, std::size_t row_in_pattern) {
      for (const BranchRun& run : runs_[pattern]) visit_run(run, row, row_in_pattern, first, count, visit);
    });
  }

  /// Computes out[k] = sum of term(s_i) over the branches i that cover element first + k of the kernel. Needs no memory
  /// beyond `out`.
  void sum_over_branches(std::size_t first, std::span<T> out, auto term) const {
    T* const sum = out.data();  // by value below: stores through a captured span would keep the loops scalar
    const auto add = [=](T s, std::size_t k) { sum[k] += term(s); };
    if (!tap_masks_) {
      std::ranges::fill(out, T(0));
      for_each_branch_scale(first, out.size(), add);
      return;
    }
    for_each_row(first, out.size(), [&](std::size_t row, std::size_t pattern, std::size_t row_in_pattern) {
      const std::size_t begin = std::max(first, row * row_size_);
      const std::size_t end = std::min(first + out.size(), (row + 1) * row_size_);
      tap_masks_->sum(block_, row, begin - row * row_size_, out.subspan(begin - first, end - begin), term);
      for (const BranchRun& run : runs_[pattern])
        if (!run.has_mask) visit_run(run, row, row_in_pattern, first, out.size(), add);
    });
  }

  /// Calls visit(m), where m[k] is GradMult of element first + k of the kernel for k < count <= max_chunk. Depending on
  /// the elements, m is a pointer or computes each multiplier as it is read.
  void with_grad_mult(std::size_t first, std::size_t count, auto visit) const {
    if (const T* const cached = cached_multipliers(first, count)) return visit(cached);
    if (const auto masked = masked_multipliers(first, count)) return visit(*masked);
    T memory[max_chunk];
    sum_over_branches(first, std::span<T>(memory, count), square);
    visit(static_cast<const T*>(memory));
  }

 private:
  /// The elements that a branch covers in a row of the target kernel: first + k * step for k < count. A row is the
  /// memory below the outermost axes: all weights of one output channel or, in HWIO, all output channels of one tap and
  /// input channel. If `groups` > 1, that many groups of the branch share a group of the target. Each of them covers
  /// rows_per_group consecutive rows, and the n-th group begins n * count * step elements later in its rows.
  struct BranchRun {
    std::size_t branch, first, count, step, groups, rows_per_group;
    bool has_mask = false;  ///< whether tap_masks_ serve the branch
  };

  static constexpr auto square = [](T s) { return s * s; };

  bool row_is_channel() const { return block_.target().layout != WeightLayout::hwio; }

  /// The number of elements in the rows of a pattern: all rows of a pattern have the same runs.
  std::size_t pattern_size() const { return row_size_ * rows_per_pattern_; }

  void find_branch_runs() {
    const ConvShape& target = block_.target();
    row_size_ = row_is_channel() ? target.size() / target.out_channels : target.out_channels;
    rows_per_pattern_ = row_is_channel() ? target.out_channels : target.in_per_group();
    runs_.resize(target.size() / pattern_size());
    for (std::size_t i = 0; i < block_.branches().size(); ++i) {
      const ConvShape& shape = block_.branches()[i].shape;
      const Placement placed(shape, target);
      const std::size_t groups = shape.groups / target.groups, in = shape.in_per_group(), out = shape.out_per_group();
      const bool has_mask = TapMasks<T>::serves(shape, target);
      const bool taps_adjoin = shape.taps() == target.taps() && (target.layout == WeightLayout::oihw || groups == 1);
      if (row_is_channel() && taps_adjoin) {
        runs_[0].push_back({i, 0, in * shape.taps(), 1, groups, out, has_mask});
        continue;
      }
      for (std::size_t y = 0; y < shape.kernel_size[0]; ++y)
        for (std::size_t x = 0; x < shape.kernel_size[1]; ++x) {
          const WeightIndex tap = placed({.row = y, .column = x});
          if (row_is_channel()) {
            runs_[0].push_back({i, target.offset(tap), in, target.strides().in, groups, out, has_mask});
            continue;
          }
          const std::size_t channels = groups == 1 ? row_size_ : out;
          for (std::size_t channel = 0; channel < row_size_; channel += channels * groups)
            runs_[tap.row * target.kernel_size[1] + tap.column].push_back({i, channel, channels, 1, groups, in});
        }
    }
  }

  /// In HWIO all rows of one tap have the same multipliers unless a branch is grouped. Caches one row plus max_chunk
  /// elements for such a tap, so that any chunk that starts in the row is contiguous. Caches nothing if that would be
  /// no smaller than all rows of the tap. Caching pays because no weights are loaded while multipliers are generated.
  void cache_multiplier_rows() {
    if (row_is_channel() || row_size_ + max_chunk >= pattern_size()) return;
    cached_rows_.resize(runs_.size());
    for (std::size_t pattern = 0; pattern < runs_.size(); ++pattern) {
      if (std::ranges::any_of(runs_[pattern], [](const BranchRun& run) { return run.groups > 1; })) continue;
      cached_rows_[pattern].resize(row_size_ + max_chunk);
      sum_over_branches(pattern * pattern_size(), cached_rows_[pattern], square);
    }
  }

  /// The cached multipliers of `count` elements from `first` on; a null pointer if they are not cached.
  const T* cached_multipliers(std::size_t first, std::size_t count) const {
    if (cached_rows_.empty()) return nullptr;
    const std::size_t pattern = first / pattern_size(), in_row = first % row_size_;
    const std::vector<T>& cached = cached_rows_[pattern];
    const bool is_inside = in_row + count <= cached.size() && first + count <= (pattern + 1) * pattern_size();
    return is_inside ? cached.data() + in_row : nullptr;
  }

  /// The multipliers of `count` elements from `first` on, if one mask gives them: then they lie in one row, and no
  /// branch without a mask covers any of them.
  std::optional<typename TapMasks<T>::MaskedSum> masked_multipliers(std::size_t first, std::size_t count) const {
    const std::size_t row = first / row_size_, in_row = first - row * row_size_;
    if (!tap_masks_ || in_row + count > row_size_) return std::nullopt;
    for (const BranchRun& run : runs_[0])
      if (!run.has_mask && part_of(run, row, row, first, count).size > 0) return std::nullopt;
    return tap_masks_->masked_sum(block_, row, in_row, square);
  }

  /// Calls visit(row, pattern, row_in_pattern) for each row that has some of the elements first, ..., first + count
  /// - 1.
  void for_each_row(std::size_t first, std::size_t count, auto visit) const {
    std::size_t row = first / row_size_, pattern = row / rows_per_pattern_, row_in_pattern = row % rows_per_pattern_;
    for (; row * row_size_ < first + count; ++row) {
      visit(row, pattern, row_in_pattern);
      if (++row_in_pattern == rows_per_pattern_) row_in_pattern = 0, ++pattern;
    }
  }

  /// The elements of a chunk that a run covers: chunk_begin + k * step for k < size, counted from the chunk's first.
  /// The first of them is element `in_row` of its row.
  struct RunPart {
    std::size_t chunk_begin, in_row, size;
  };

  /// The part of `run` that lies in row `row`, number `row_in_pattern` of its pattern, and in the chunk of `count`
  /// elements from `first` on.
  RunPart part_of(const BranchRun& run, std::size_t row, std::size_t row_in_pattern, std::size_t first,
                  std::size_t count) const {
    const std::size_t group = run.groups == 1 ? 0 : row_in_pattern / run.rows_per_group % run.groups;
    const std::size_t in_row = run.first + group * run.count * run.step, start = row * row_size_ + in_row;
    const auto elements_before = [&](std::size_t place) {
      if (place <= start) return std::size_t(0);
      return std::min(run.count, run.step == 1 ? place - start : (place - start + run.step - 1) / run.step);
    };
    const std::size_t skipped = elements_before(first), size = elements_before(first + count) - skipped;
    return {start + skipped * run.step - first, in_row + skipped * run.step, size};
  }

  /// Calls visit(s, k) for each k < count for which `run` covers element first + k of the kernel in row `row`. This row
  /// is number `row_in_pattern` of its pattern.
  void visit_run(const BranchRun& run, std::size_t row, std::size_t row_in_pattern, std::size_t first,
                 std::size_t count, auto visit) const {
    const auto [begin, in_row, size] = part_of(run, row, row_in_pattern, first, count);
    const T* const scale = block_.branches()[run.branch].scale.data();
    if (!row_is_channel()) {
      for (std::size_t k = 0; k < size; ++k) visit(scale[in_row + k], begin + k);
      return;
    }
    const T s = scale[row];
    if (run.step == 1) {
      for (std::size_t k = 0; k < size; ++k) visit(s, begin + k);
    } else {
      for (std::size_t k = 0; k < size; ++k) visit(s, begin + k * run.step);
    }
  }

  CslaBlock<T> block_;
  std::size_t row_size_ = 1;
  std::size_t rows_per_pattern_ = 1;          ///< a pattern is the whole kernel or, in HWIO, the rows of one tap
  std::vector<std::vector<BranchRun>> runs_;  ///< the runs of row r are runs_[r / rows_per_pattern_]
  std::optional<TapMasks<T>> tap_masks_;      ///< in OIHW
  std::vector<std::vector<T>> cached_rows_;   ///< GradMult's row by pattern; empty rows are not cached
};

/// The stream of an ordinary parameter. It acts like the stream of a block with one branch and s = 1, so rules that are
/// written for a KernelStream also serve ordinary parameters.
template <std::floating_point T>
struct PlainStream {
  /// An array of multipliers that are all 1.
  struct Ones {
    /// Returns 1 for any element.
    constexpr T operator[](std::size_t) const { return T(1); }
  };

  /// The same functions as KernelStream's.
  /// @{
  void for_each_branch_scale(std::size_t, std::size_t count, auto visit) const {
    for (std::size_t k = 0; k < count; ++k) visit(T(1), k);
  }
  void sum_over_branches(std::size_t, std::span<T> out, auto term) const { std::ranges::fill(out, term(T(1))); }
  void with_grad_mult(std::size_t, std::size_t, auto visit) const { visit(Ones()); }
  /// @}
};

/// Returns the squared norm of the gradients of all branches that a kernel stands for: sum GradMult * grad^2. `stream`
/// is the kernel's KernelStream<T>, or a PlainStream<T> for an ordinary parameter. The result is the same for any
/// number of threads.
template <std::floating_point T>
double csla_grad_norm_squared(std::span<const T> grad, const auto& stream) {
  return sum_over_chunks(grad.size(), [grad, &stream](std::size_t first, std::size_t count) {
    double sum = 0;
    stream.with_grad_mult(first, count, [&](const auto m) {
      for (std::size_t k = 0; k < count; ++k) {
        const double g = double(grad[first + k]);
        sum += double(m[k]) * g * g;
      }
    });
    return sum;
  });
}

/// Computes multiplied = GradMult * grad, for optimizers outside this library. Both buffers are (out_channels,
/// in_channels / groups, kh, kw) in the layout of the block's target; `multiplied` may be `grad` itself. This is exact
/// for every rule that is linear in weight and gradient. Throws std::invalid_argument if a size is wrong, or if the
/// buffers overlap and are not the same.
template <std::floating_point T>
void multiply_gradient(const CslaBlock<T>& block, std::span<const T> grad, std::span<T> multiplied) {
  const std::size_t size = block.target().size();
  require(grad.size() == size && multiplied.size() == size, "target [", describe(block.target()), "] has ", size,
          " elements, grad has ", grad.size(), ", multiplied has ", multiplied.size());
  require(grad.data() == multiplied.data() || !overlap<T>(grad, multiplied), "grad and multiplied overlap in memory");
  const KernelStream<T> stream(block);
  for_each_chunk(size, [&](std::size_t first, std::size_t count) {
    stream.with_grad_mult(first, count, [&](const auto m) {
      for (std::size_t k = 0; k < count; ++k) multiplied[first + k] = m[k] * grad[first + k];
    });
  });
}

}  // namespace repopt
