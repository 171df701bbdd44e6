// CslaBlock: the multi-branch block whose training the plain kernel imitates, and the one linear map behind both rules.
#pragma once

#include <algorithm>
#include <cmath>
#include <compare>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/base/prefetch.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/embedding.hpp"

namespace repopt {

/// Whether two buffers share memory.
template <class T>
bool overlap(std::span<const T> a, std::span<const T> b) {
  const std::compare_three_way order;  // unlike <, defined for pointers into different buffers
  return order(a.data(), b.data() + b.size()) < 0 && order(b.data(), a.data() + a.size()) < 0;
}

/// One branch of a CSLA block: one trainable linear operator, then one constant scale per output channel.
template <std::floating_point T>
struct Branch {
  ConvShape shape;       ///< of the operator, a convolution
  std::vector<T> scale;  ///< constant scale s, (out_channels)

  /// CslaBlock's constructor checks both.
  Branch(const ConvShape& branch_shape, std::vector<T> channel_scale)
      : shape(branch_shape), scale(std::move(channel_scale)) {}

  /// The same constant for every output channel.
  Branch(const ConvShape& branch_shape, T scalar_scale)
      : shape(branch_shape), scale(branch_shape.out_channels, scalar_scale) {}

  /// Trainable scaling of each channel: a depthwise 1x1 convolution with s = 1. Its weights, (channels), start at 1.
  static Branch identity(std::size_t channels) { return {ConvShape::depthwise_1x1(channels), T(1)}; }

  bool operator==(const Branch&) const = default;
};

/// Constant-Scale Linear Addition: y = sum_i s_i * conv(x, W_i) (arXiv 2205.15242, section 3). Names the branches whose
/// training one target kernel shall follow; it is never trained itself.
template <std::floating_point T>
class CslaBlock {
 public:
  /// Throws std::invalid_argument if there is no branch, a shape is impossible, a scale is not finite or not of
  /// out_channels elements, or a branch does not embed in `target`: then the message names both shapes and the reason.
  CslaBlock(const ConvShape& target, std::vector<Branch<T>> branches)
      : target_(target), branches_(std::move(branches)) {
    target_.validate();
    require(!branches_.empty(), "a CSLA block needs a branch; target: ", describe(target_));
    for (const Branch<T>& branch : branches_) {
      branch.shape.validate();
      const std::string_view obstacle = embedding_obstacle(branch.shape, target_);
      require(obstacle.empty(), "branch [", describe(branch.shape), "] does not embed in target [", describe(target_),
              "]: ", obstacle);
      require(branch.scale.size() == target_.out_channels, "scale has ", branch.scale.size(),
              " elements, out_channels is ", target_.out_channels, "; branch [", describe(branch.shape), "]");
      const auto bad = std::ranges::find_if_not(branch.scale, [](T s) { return std::isfinite(s); });
      if (bad != branch.scale.end())
        require(false, "scale holds ", *bad, ", it must be finite; branch [", describe(branch.shape), "]");
    }
    find_runs();
    keep_squares();
  }

  /// A kernel without a prior structure: one branch, s = 1. Training it is training the plain kernel.
  static CslaBlock plain(const ConvShape& target) { return {target, {Branch<T>(target, T(1))}}; }

  /// As given to the constructor.
  /// @{
  const ConvShape& target() const { return target_; }
  const std::vector<Branch<T>>& branches() const { return branches_; }
  /// @}

  /// Rule of Initialization: weight = sum_i embed_i(s_i * W_i). `branch_weights` holds each branch's kernel,
  /// (out_channels, in_channels / groups, kh, kw) in the layout of its shape, in the order of branches(); `weight` gets
  /// the target's. Throws std::invalid_argument if a number of elements is wrong or `weight` overlaps a kernel.
  void equivalent_kernel(std::span<const std::span<const T>> branch_weights, std::span<T> weight) const {
    require(branch_weights.size() == branches_.size(), "the block has ", branches_.size(), " branches, ",
            branch_weights.size(), " kernels were given");
    for (std::size_t i = 0; i < branches_.size(); ++i)
      require(branch_weights[i].size() == branches_[i].shape.size(), "kernel ", i, " has ", branch_weights[i].size(),
              " weights, branch [", describe(branches_[i].shape), "] has ", branches_[i].shape.size());
    for (std::size_t i = 0; i < branches_.size(); ++i)
      require(!overlap<T>(weight, branch_weights[i]), "weight and kernel ", i, " overlap in memory");
    require(weight.size() == target_.size(), "weight has ", weight.size(), " elements, target [", describe(target_),
            "] has ", target_.size());
    sum(weight, [&](T s, std::size_t i, std::size_t index) { return s * branch_weights[i][index]; });
  }

  /// The same for kernels in braces, {w3x3, w1x1}.
  void equivalent_kernel(std::initializer_list<std::span<const T>> branch_weights, std::span<T> weight) const {
    equivalent_kernel(std::span(branch_weights.begin(), branch_weights.size()), weight);
  }

  /// The one linear map, scattered: out = sum_i embed_i(term(s_i, i, index)), where `index` counts the weights of
  /// branch i in its layout. `out` has the target's size.
  void sum(std::span<T> out, auto term) const {
    std::ranges::fill(out, T(0));
    for (std::size_t i = 0; i < branches_.size(); ++i)
      embed(branches_[i].shape, target_, [&](std::size_t channel, std::size_t place, std::size_t index) {
        out[place] += term(branches_[i].scale[channel], i, index);
      });
  }

  /// The same map for terms that depend on scale and place only, streamed: visit(s_i, k), k < size, for each branch
  /// that covers element first + k of the target, branch by branch in each row. Loops become vector code if `visit`
  /// captures by value.
  void for_each_scale(std::size_t first, std::size_t size, auto visit) const {
    std::size_t row = first / row_size_, set = row / rows_alike_, nth = row % rows_alike_;
    for (; row * row_size_ < first + size; ++row) {
      for (const Run& run : runs_[set]) for_each_element(run, row, nth, first, size, visit);
      if (++nth == rows_alike_) nth = 0, ++set;
    }
  }

  /// out[k] = sum of term(s_i, k) over the same branches. Needs no memory beyond `out`.
  void sum_chunk(std::size_t first, std::span<T> out, auto term) const {
    std::ranges::fill(out, T(0));
    T* const sum = out.data();  // by value below: stores through a captured span would keep the loops scalar
    for_each_scale(first, out.size(), [=](T s, std::size_t k) { sum[k] += term(s, k); });
  }

  /// sum_i embed_i(s_i^2), which is GradMult, for elements first, first + 1, ... of the target: generated in `chunk`
  /// or, where rows repeat, in memory of the block. (Generating takes time in which no weights come from memory.)
  const T* sum_of_squares(std::size_t first, std::span<T> chunk) const {
    const std::size_t set = first / set_size(), in_row = first % row_size_;
    const std::vector<T>& kept = kept_squares_[set];
    if (in_row + chunk.size() <= kept.size() && first + chunk.size() <= (set + 1) * set_size())
      return kept.data() + in_row;
    sum_chunk(first, chunk, square);
    return chunk.data();
  }

  /// Most elements of a chunk: so few that a processor works on the next chunk while it waits for this one's memory.
  static constexpr std::size_t max_chunk = 256;

  /// Visits the target's memory in chunks that stay in the first-level cache: visit(first, chunk), where chunk[k] is
  /// scratch for element first + k. In parallel as parallel_for() says. `streams`, arrays of target().size()
  /// elements that `visit` walks through, are asked for two chunks ahead where that gains time.
  void for_each_chunk(auto visit, const std::same_as<T> auto*... streams) const {
    parallel_for(chunks(), size_, [=, this](std::size_t chunk) {
      if constexpr (streams_gain_by_prefetch && sizeof...(streams) > 0) {
        const std::size_t begin = std::min((chunk + 2) * max_chunk, size_), end = std::min(begin + max_chunk, size_);
        for (std::size_t k = begin; k < end; k += cache_line<T>) (prefetch<1>(streams + k), ...);
      }
      visit_chunk(chunk, visit);
    });
  }

  /// The sum of visit(first, chunk) over the chunks of for_each_chunk(); the same for any number of threads.
  double sum_over_chunks(auto visit) const {
    thread_local std::vector<double> memory;  // kept for the next call
    memory.resize(chunks());
    const std::span<double> sums(memory);  // threads write here, not to `memory` of their own
    parallel_for(chunks(), size_, [&](std::size_t chunk) { sums[chunk] = visit_chunk(chunk, visit); });
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  }

 private:
  /// Where a branch lies in a row of the target: at elements first + k * step, k < count. A row is what lies in memory
  /// below the outermost axes: all weights of one output channel or, in HWIO, all output channels of one tap and input
  /// channel. `groups` of the branch share a group of the target, each rows_per_group rows long; the elements of the
  /// n-th lie n * count * step further.
  struct Run {
    std::size_t branch, first, count, step, groups, rows_per_group;
  };

  static constexpr auto square = [](T s, std::size_t) { return s * s; };

  bool row_is_channel() const { return target_.layout != WeightLayout::hwio; }

  void find_runs() {
    size_ = target_.size();
    row_size_ = row_is_channel() ? size_ / target_.out_channels : target_.out_channels;
    rows_alike_ = row_is_channel() ? target_.out_channels : target_.in_per_group();
    runs_.resize(size_ / set_size());
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      const ConvShape& shape = branches_[i].shape;
      const Placement placed(shape, target_);
      const std::size_t groups = shape.groups / target_.groups, in = shape.in_per_group(), out = shape.out_per_group();
      const bool taps_adjoin = shape.taps() == target_.taps() && (target_.layout == WeightLayout::oihw || groups == 1);
      if (row_is_channel() && taps_adjoin) {
        runs_[0].push_back({i, 0, in * shape.taps(), 1, groups, out});
        continue;
      }
      for (std::size_t y = 0; y < shape.kernel_size[0]; ++y)
        for (std::size_t x = 0; x < shape.kernel_size[1]; ++x) {
          const WeightIndex tap = placed({.row = y, .column = x});
          if (row_is_channel()) {
            runs_[0].push_back({i, target_.offset(tap), in, target_.strides().in, groups, out});
            continue;
          }
          const std::size_t channels = groups == 1 ? row_size_ : out;
          for (std::size_t channel = 0; channel < row_size_; channel += channels * groups)
            runs_[tap.row * target_.kernel_size[1] + tap.column].push_back({i, channel, channels, 1, groups, in});
        }
    }
  }

  /// Of rows that differ in nothing, one is kept, and as much of the next ones as a chunk may reach into; where that is
  /// not less than all of them, none.
  void keep_squares() {
    kept_squares_.resize(runs_.size());
    if (row_is_channel() || row_size_ + max_chunk >= set_size()) return;
    for (std::size_t set = 0; set < runs_.size(); ++set) {
      if (std::ranges::any_of(runs_[set], [](const Run& run) { return run.groups > 1; })) continue;
      kept_squares_[set].resize(row_size_ + max_chunk);
      sum_chunk(set * set_size(), kept_squares_[set], square);
    }
  }

  /// visit(s, k) for each element first + k, k < size, of the target that is the run's in `row`, the nth of those
  /// alike.
  void for_each_element(const Run& run, std::size_t row, std::size_t nth, std::size_t first, std::size_t size,
                        auto visit) const {
    const std::size_t step = run.step;
    const std::size_t group = run.groups == 1 ? 0 : nth / run.rows_per_group % run.groups;
    const std::size_t in_row = run.first + group * run.count * step, start = row * row_size_ + in_row;
    const auto elements_before = [&](std::size_t place) {
      if (place <= start) return std::size_t(0);
      return std::min(run.count, step == 1 ? place - start : (place - start + step - 1) / step);
    };
    const std::size_t skipped = elements_before(first), count = elements_before(first + size) - skipped;
    const std::size_t begin = start + skipped * step - first;
    const T* const scale = branches_[run.branch].scale.data();
    if (!row_is_channel()) {
      for (std::size_t k = 0; k < count; ++k) visit(scale[in_row + skipped + k], begin + k);
      return;
    }
    const T s = scale[row];
    if (step == 1) {
      for (std::size_t k = 0; k < count; ++k) visit(s, begin + k);
    } else {
      for (std::size_t k = 0; k < count; ++k) visit(s, begin + k * step);
    }
  }

  /// Elements of a set of rows that are alike.
  std::size_t set_size() const { return row_size_ * rows_alike_; }

  std::size_t chunks() const { return (size_ + max_chunk - 1) / max_chunk; }

  auto visit_chunk(std::size_t chunk, auto visit) const {
    T scratch[max_chunk];
    const std::size_t first = chunk * max_chunk;
    return visit(first, std::span<T>(scratch, std::min(max_chunk, size_ - first)));
  }

  ConvShape target_;
  std::vector<Branch<T>> branches_;
  std::size_t size_ = 0;                       ///< of the target: known here, since chunks are short
  std::size_t row_size_ = 1, rows_alike_ = 1;  ///< all rows have the same runs or, in HWIO, all rows of one tap
  std::vector<std::vector<Run>> runs_;         ///< of row r: runs_[r / rows_alike_]
  std::vector<std::vector<T>> kept_squares_;   ///< likewise; empty where they are generated
};

}  // namespace repopt
