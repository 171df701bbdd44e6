// CslaBlock: the multi-branch block whose training the plain kernel imitates, and the one linear map behind both rules.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/embed.hpp"
#include "repopt/core/error.hpp"
#include "repopt/core/parallel.hpp"

namespace repopt {

/// Whether two buffers share memory.
template <class T>
bool overlap(std::span<const T> a, std::span<const T> b) {
  const std::less<const T*> before;
  return before(a.data(), b.data() + b.size()) && before(b.data(), a.data() + a.size());
}

/// One branch of a CSLA block: one trainable linear operator, then one constant scale per output channel.
template <std::floating_point T>
struct Branch {
  ConvShape shape;
  std::vector<T> scale;  ///< constant scale s, (out_channels)

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
      placements_.emplace_back(branch.shape, target_);
    }
  }

  /// A kernel without a prior structure: one branch, s = 1. Training it is training the plain kernel.
  static CslaBlock plain(const ConvShape& target) { return {target, {Branch<T>(target, T(1))}}; }

  const ConvShape& target() const { return target_; }
  const std::vector<Branch<T>>& branches() const { return branches_; }

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

  /// The same map for terms that depend on scale and place only, streamed: out[k] = sum of term(s_i, k) over the
  /// branches that cover element first + k of the target. Needs no memory beyond `out`, a chunk as for_each_chunk()
  /// gives it.
  void sum_chunk(std::size_t first, std::span<T> out, auto term) const {
    std::ranges::fill(out, T(0));
    const std::size_t row = first / row_size();
    for (std::size_t i = 0; i < branches_.size(); ++i)
      for_each_run(branches_[i], placements_[i], row, [&](Run run) {
        run.first += row * row_size();
        add(run, first, out, term);
      });
  }

  /// Visits the target's memory in chunks that stay in the first-level cache: visit(first, chunk), where chunk[k] is
  /// scratch for element first + k. In parallel as parallel_for() says.
  void for_each_chunk(auto visit) const {
    parallel_for(chunks(), target_.size(), [&](std::size_t chunk) { visit_chunk(chunk, visit); });
  }

  /// The sum of visit(first, chunk) over the chunks of for_each_chunk(); the same for any number of threads.
  double sum_over_chunks(auto visit) const {
    std::vector<double> sums(chunks());
    parallel_for(chunks(), target_.size(), [&](std::size_t chunk) { sums[chunk] = visit_chunk(chunk, visit); });
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  }

 private:
  static constexpr std::size_t max_chunk = 1024;

  /// Elements first, first + step, ... of the target, all of one branch. Their scales lie side by side if there is one
  /// for each, else `scale` points to the one that all share.
  struct Run {
    std::size_t first, count, step;
    const T* scale;
    bool scale_per_element;
  };

  /// A row is what lies in memory below the outermost axes: all weights of one output channel or, in HWIO, all output
  /// channels of one tap and input channel.
  std::size_t row_size() const {
    return target_.layout == WeightLayout::hwio ? target_.out_channels : target_.in_per_group() * target_.taps();
  }

  std::size_t chunks_per_row() const { return (row_size() + max_chunk - 1) / max_chunk; }
  std::size_t chunks() const { return target_.size() / row_size() * chunks_per_row(); }

  auto visit_chunk(std::size_t chunk, auto& visit) const {
    T scratch[max_chunk];
    const std::size_t begin = chunk % chunks_per_row() * max_chunk;
    return visit(chunk / chunks_per_row() * row_size() + begin,
                 std::span<T>(scratch, std::min(max_chunk, row_size() - begin)));
  }

  /// Visits where a branch lies in a row; Run::first counts from the row's start.
  void for_each_run(const Branch<T>& branch, const Placement& placed, std::size_t row, auto visit) const {
    const ConvShape& shape = branch.shape;
    if (target_.layout == WeightLayout::hwio) {
      const std::size_t tap = row / target_.in_per_group(), in = row % target_.in_per_group();
      if (!placed.covers(tap / target_.kernel_size[1], tap % target_.kernel_size[1])) return;
      const std::size_t group_step = shape.groups / target_.groups;
      if (group_step == 1) return visit(Run{0, shape.out_channels, 1, branch.scale.data(), true});
      const std::size_t channels = shape.out_per_group();
      for (std::size_t group = in / shape.in_per_group(); group < shape.groups; group += group_step)
        visit(Run{group * channels, channels, 1, branch.scale.data() + group * channels, true});
      return;
    }
    const T* scale = branch.scale.data() + row;
    const auto first = [&](std::size_t y, std::size_t x) {
      return target_.offset(placed({.out = row, .row = y, .column = x})) - row * row_size();
    };
    const bool taps_adjoin = shape.taps() == target_.taps() &&
                             (target_.layout == WeightLayout::oihw || shape.in_per_group() == target_.in_per_group());
    if (taps_adjoin) return visit(Run{first(0, 0), shape.in_per_group() * shape.taps(), 1, scale, false});
    for (std::size_t y = 0; y < shape.kernel_size[0]; ++y)
      for (std::size_t x = 0; x < shape.kernel_size[1]; ++x)
        visit(Run{first(y, x), shape.in_per_group(), target_.strides().in, scale, false});
  }

  /// Adds to out[k], element first + k of the target, what a run contributes to it.
  static void add(const Run& run, std::size_t first, std::span<T> out, auto term) {
    const auto elements_before = [&](std::size_t place) {
      return place <= run.first ? 0 : std::min(run.count, (place - run.first + run.step - 1) / run.step);
    };
    const std::size_t skipped = elements_before(first), count = elements_before(first + out.size()) - skipped;
    if (count == 0) return;
    const std::size_t begin = run.first + skipped * run.step - first, step = run.step;
    if (run.scale_per_element) {
      const T* const scale = run.scale + skipped;
      for (std::size_t k = 0; k < count; ++k) out[begin + k] += term(scale[k], begin + k);
    } else if (step == 1) {
      const T s = *run.scale;
      for (std::size_t k = begin; k < begin + count; ++k) out[k] += term(s, k);
    } else {
      for (std::size_t k = begin; k < begin + count * step; k += step) out[k] += term(*run.scale, k);
    }
  }

  ConvShape target_;
  std::vector<Branch<T>> branches_;
  std::vector<Placement> placements_;
};

}  // namespace repopt
