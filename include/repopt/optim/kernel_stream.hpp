// KernelStream: the multipliers of a kernel that stands for a CSLA block, generated while its weights stream by.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "repopt/optim/chunks.hpp"

namespace repopt {

/// Sums over the branches of a block, sum_i embed_i(term(s_i)), for any span of the target kernel in the order of its
/// memory. CslaBlock::sum() scatters each branch over the whole kernel, which needs a tensor; here the branches that
/// cover a span are visited in turn, so that an update needs no memory but that of a chunk. The results are the same.
template <std::floating_point T>
class KernelStream {
 public:
  /// Keeps the block, and at most a row of multipliers for each tap.
  explicit KernelStream(CslaBlock<T> block) : block_(std::move(block)) {
    find_branch_runs();
    cache_multiplier_rows();
  }

  /// As given to the constructor.
  const CslaBlock<T>& block() const { return block_; }

  /// visit(s_i, k), k < count, for each branch i that covers element first + k of the kernel; branch by branch in each
  /// row. Loops become vector code if `visit` captures by value.
  void for_each_branch_scale(std::size_t first, std::size_t count, auto visit) const {
    std::size_t row = first / row_size_, pattern = row / rows_per_pattern_, nth = row % rows_per_pattern_;
    for (; row * row_size_ < first + count; ++row) {
      for (const BranchRun& run : runs_[pattern]) visit_run(run, row, nth, first, count, visit);
      if (++nth == rows_per_pattern_) nth = 0, ++pattern;
    }
  }

  /// out[k] = sum of term(s_i, k) over the branches that cover element first + k. Needs no memory beyond `out`.
  void sum_over_branches(std::size_t first, std::span<T> out, auto term) const {
    std::ranges::fill(out, T(0));
    T* const sum = out.data();  // by value below: stores through a captured span would keep the loops scalar
    for_each_branch_scale(first, out.size(), [=](T s, std::size_t k) { sum[k] += term(s, k); });
  }

  /// GradMult of elements first, ..., first + memory.size() - 1: either in the cached row or, where none is cached,
  /// generated in `memory`.
  const T* grad_mult(std::size_t first, std::span<T> memory) const {
    const std::size_t pattern = first / pattern_size(), in_row = first % row_size_;
    const std::vector<T>& cached = cached_rows_[pattern];
    if (in_row + memory.size() <= cached.size() && first + memory.size() <= (pattern + 1) * pattern_size())
      return cached.data() + in_row;
    sum_over_branches(first, memory, square);
    return memory.data();
  }

 private:
  /// Where a branch lies in a row of the target: at elements first + k * step, k < count. A row is the memory below the
  /// outermost axes: all weights of one output channel or, in HWIO, all output channels of one tap and input channel.
  /// If `groups` groups of the branch share a group of the target, each takes rows_per_group consecutive rows, and the
  /// n-th lies n * count * step elements further in its rows.
  struct BranchRun {
    std::size_t branch, first, count, step, groups, rows_per_group;
  };

  static constexpr auto square = [](T s, std::size_t) { return s * s; };

  bool row_is_channel() const { return block_.target().layout != WeightLayout::hwio; }

  /// Number of elements of the rows that share a pattern of runs.
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
      const bool taps_adjoin = shape.taps() == target.taps() && (target.layout == WeightLayout::oihw || groups == 1);
      if (row_is_channel() && taps_adjoin) {
        runs_[0].push_back({i, 0, in * shape.taps(), 1, groups, out});
        continue;
      }
      for (std::size_t y = 0; y < shape.kernel_size[0]; ++y)
        for (std::size_t x = 0; x < shape.kernel_size[1]; ++x) {
          const WeightIndex tap = placed({.row = y, .column = x});
          if (row_is_channel()) {
            runs_[0].push_back({i, target.offset(tap), in, target.strides().in, groups, out});
            continue;
          }
          const std::size_t channels = groups == 1 ? row_size_ : out;
          for (std::size_t channel = 0; channel < row_size_; channel += channels * groups)
            runs_[tap.row * target.kernel_size[1] + tap.column].push_back({i, channel, channels, 1, groups, in});
        }
    }
  }

  /// In HWIO all rows of one tap have the same multipliers, unless a branch is grouped. Caches one row and max_chunk
  /// elements more, so that any chunk that starts in it is contiguous. Caches nothing where that would be no smaller
  /// than all rows of the tap. (Generating takes time in which no weights come from memory.)
  void cache_multiplier_rows() {
    cached_rows_.resize(runs_.size());
    if (row_is_channel() || row_size_ + max_chunk >= pattern_size()) return;
    for (std::size_t pattern = 0; pattern < runs_.size(); ++pattern) {
      if (std::ranges::any_of(runs_[pattern], [](const BranchRun& run) { return run.groups > 1; })) continue;
      cached_rows_[pattern].resize(row_size_ + max_chunk);
      sum_over_branches(pattern * pattern_size(), cached_rows_[pattern], square);
    }
  }

  /// visit(s, k) for each k < count whose element first + k of the target belongs to `run` in `row`, which is the nth
  /// row of its pattern.
  void visit_run(const BranchRun& run, std::size_t row, std::size_t nth, std::size_t first, std::size_t count,
                 auto visit) const {
    const std::size_t step = run.step;
    const std::size_t group = run.groups == 1 ? 0 : nth / run.rows_per_group % run.groups;
    const std::size_t in_row = run.first + group * run.count * step, start = row * row_size_ + in_row;
    const auto elements_before = [&](std::size_t place) {
      if (place <= start) return std::size_t(0);
      return std::min(run.count, step == 1 ? place - start : (place - start + step - 1) / step);
    };
    const std::size_t skipped = elements_before(first), size = elements_before(first + count) - skipped;
    const std::size_t begin = start + skipped * step - first;
    const T* const scale = block_.branches()[run.branch].scale.data();
    if (!row_is_channel()) {
      for (std::size_t k = 0; k < size; ++k) visit(scale[in_row + skipped + k], begin + k);
      return;
    }
    const T s = scale[row];
    if (step == 1) {
      for (std::size_t k = 0; k < size; ++k) visit(s, begin + k);
    } else {
      for (std::size_t k = 0; k < size; ++k) visit(s, begin + k * step);
    }
  }

  CslaBlock<T> block_;
  std::size_t row_size_ = 1;
  std::size_t rows_per_pattern_ = 1;          ///< all rows have the same runs or, in HWIO, all rows of one tap
  std::vector<std::vector<BranchRun>> runs_;  ///< of row r: runs_[r / rows_per_pattern_]
  std::vector<std::vector<T>> cached_rows_;   ///< GradMult by pattern; empty where it is generated
};

/// The stream of an ordinary parameter, which stands for itself: one branch, s = 1, on every element. Rules that are
/// written for a stream serve ordinary parameters by it.
template <std::floating_point T>
struct PlainStream {
  /// Multipliers that are all 1.
  struct Ones {
    /// 1, for any element.
    constexpr T operator[](std::size_t) const { return T(1); }
  };

  /// As KernelStream has them.
  /// @{
  void for_each_branch_scale(std::size_t, std::size_t count, auto visit) const {
    for (std::size_t k = 0; k < count; ++k) visit(T(1), k);
  }
  void sum_over_branches(std::size_t, std::span<T> out, auto term) const {
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = term(T(1), k);
  }
  Ones grad_mult(std::size_t, std::span<T>) const { return {}; }
  /// @}
};

/// multiplied = GradMult * grad, for an optimizer that is not this library's. All are (out_channels, in_channels /
/// groups, kh, kw) in the layout of the block's target; `multiplied` may be `grad` itself. Exact for every rule that is
/// linear in weight and gradient. Throws std::invalid_argument if a size is wrong.
template <std::floating_point T>
void multiply_gradient(const CslaBlock<T>& block, std::span<const T> grad, std::span<T> multiplied) {
  const std::size_t size = block.target().size();
  require(grad.size() == size && multiplied.size() == size, "target [", describe(block.target()), "] has ", size,
          " elements, grad has ", grad.size(), ", multiplied has ", multiplied.size());
  const KernelStream<T> stream(block);
  for_each_chunk(size, [&](std::size_t first, std::size_t count) {
    T memory[max_chunk];
    const T* const m = stream.grad_mult(first, {memory, count});
    for (std::size_t k = 0; k < count; ++k) multiplied[first + k] = m[k] * grad[first + k];
  });
}

}  // namespace repopt
