// FoldedKernel: trains the branches of a block through one plain kernel.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "repopt/core/fold_loops.hpp"
#include "repopt/core/fold_part.hpp"
#include "repopt/core/folded_branch.hpp"
#include "repopt/core/folded_parameters.hpp"
#include "repopt/core/folded_sequence.hpp"

namespace repopt {

/// Folded training of a block's branches. A block that is linear in its input computes conv(x, W') with W' = F(theta),
/// where theta is all its weights and scales. So a network only needs to compute that one convolution. Its backward
/// pass gives G = dL/dW'. The adjoint of F's derivative turns G into dL/dtheta, the gradients that the real branches
/// would get. Any optimizer can train theta with them. The training is the multi-branch block's, and the network pays
/// for one kernel:
///
///     FoldedKernel<float> folded(block, {.train_scales = true});  // Hyper-Search
///     folded.visit_parameters([&](const std::string& name, auto value, auto grad, bool decays) {
///       (decays ? decayed : others).add_param(name, value, grad);
///     });
///     ...
///     folded.fold(weight);
///     ...                          // forward and backward pass of the plain network: grad = dL/dweight
///     folded.zero_grad();
///     folded.add_gradients(grad);
///     optimizer.step();
///
/// The object owns the weights and scales of the branches and their gradients. It can be moved but not copied, and
/// spans stay valid when it is moved. Calls of one object must not run at the same time. Within a call, loops run in
/// parallel as in parallel_for(). Nothing is allocated after construction.
template <std::floating_point T>
class FoldedKernel {
 public:
  /// Options of the constructor that takes a block.
  struct Options {
    /// Whether the scales are trained. An identity's scale is never trained, because its weight is already one trained
    /// number for each channel.
    bool train_scales = false;
  };

  using Parameter = FoldedParameter<T>;  ///< a weight or a scale

  /// Folds the branches of a CSLA block.
  explicit FoldedKernel(const CslaBlock<T>& block, Options options = {})
      : FoldedKernel(block.target(), branches_of(block, options)) {}

  /// Folds branches of any kind into a kernel of `target`. Throws std::invalid_argument if there is no branch, a branch
  /// does not fold into the target (see FoldedBranch::validate()), or two parameters have the same name. The message
  /// names the branch or the parameter.
  FoldedKernel(const ConvShape& target, std::vector<FoldedBranch<T>> branches)
      : target_(target), branches_(validated(target, std::move(branches))), parameters_(branches_) {
    allocate_working_memory();
    std::size_t filters = 0, sums = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      add_parts(i, filters_.data() + filters, filter_factors_.data() + filters, scale_sums_.data() + sums);
      filters += branches_[i].filter.size();
      sums += sums_scale_gradient(i) ? target_.out_channels : 0;
      branches_[i].initial_weights.clear();  // parameters_ has copied them
    }
  }

  FoldedKernel(FoldedKernel&&) noexcept = default;
  FoldedKernel& operator=(FoldedKernel&&) noexcept = default;

  /// The kernel's shape, and all weights and scales in the order of the branches; a branch's weights come before its
  /// scale.
  /// @{
  const ConvShape& target() const { return target_; }
  const std::vector<Parameter>& parameters() const { return parameters_.all(); }
  /// @}

  /// Calls visit(name, value, grad, decays) for every trained weight and scale.
  void visit_parameters(auto visit) {
    for (const Parameter& parameter : parameters_.all())
      if (parameter.is_trained()) visit(parameter.name, parameter.value, parameter.grad, parameter.decays);
  }

  /// Computes kernel = F(theta), (out_channels, in_channels / groups, kh, kw) in the target's layout. Call it before
  /// the forward pass. Throws std::invalid_argument if `kernel` has another size or overlaps a parameter.
  void fold(std::span<T> kernel) const {
    require_size("the kernel", kernel.size());
    for (const Parameter& parameter : parameters())
      require(!overlap<T>(kernel, parameter.value) && !overlap<T>(kernel, parameter.grad), "the kernel and '",
              parameter.name, "' overlap in memory");
    update_filter_factors();
    for (std::size_t i = 0; i < branches_.size(); ++i)
      if (sequences_[i]) sequences_[i]->fold(parameters_.weight(i, 0).value, parameters_.weight(i, 1).value);
    for_each_fold_slab(target_, [&](std::size_t, const FoldSlab& slab) {
      const bool is_covered = parts_[0].covers_target;
      if (!is_covered) std::fill_n(kernel.data() + slab.begin(), slab.size(), T(0));
      for (const FoldPart<T>& part : parts_) part.add_to(slab, kernel.data(), is_covered && &part == &parts_[0]);
    });
  }

  /// Makes the next add_gradients() overwrite the gradients instead of adding to them. Until then the gradients keep
  /// their values.
  void zero_grad() { overwrites_ = true; }

  /// Adds dL/dtheta for `kernel_grad`, which is G = dL/dW', at the current weights and scales. The result is linear in
  /// G, so average G over micro-batches or processes before the call. Throws std::invalid_argument if `kernel_grad` has
  /// another size.
  void add_gradients(std::span<const T> kernel_grad) {
    require_size("the kernel's gradient", kernel_grad.size());
    update_filter_factors();
    std::ranges::fill(scale_sums_, T(0));
    for_each_fold_slab(target_, [&](std::size_t share, const FoldSlab& slab) {
      for (const FoldPart<T>& part : parts_) part.add_gradients(slab, share, kernel_grad.data(), overwrites_);
    });
    std::size_t summed = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i)
      if (sums_scale_gradient(i))
        add_scale_gradient(parameters_.scale(i).grad, summed++);
      else if (sequences_[i])
        add_sequence_gradients(i);
    overwrites_ = false;
  }

  /// Returns the CSLA block of the branches with their current scales, for the RepOptimizer that trains after a search.
  /// Throws std::invalid_argument if the weights of a branch do not have their own places in the kernel, or if a scale
  /// or its square is not finite. The message names the branch.
  CslaBlock<T> block() const {
    std::vector<Branch<T>> branches;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      require(!sequences_[i] && branches_[i].filter.empty(), "branch ", i, " is a ",
              sequences_[i] ? "sequence" : "filtered branch",
              ": its weights have no places of their own in the kernel, so it cannot be a branch of a CslaBlock");
      Branch<T>& branch = branches.emplace_back(branches_[i].convolution);
      std::ranges::copy(parameters_.scale(i).value, branch.scale.begin());
      branch.validate(target_, concat("branch ", i));
    }
    return {target_, std::move(branches)};
  }

 private:
  static std::vector<FoldedBranch<T>> branches_of(const CslaBlock<T>& block, Options options) {
    std::vector<FoldedBranch<T>> branches;
    for (const Branch<T>& branch : block.branches()) {
      branches.push_back(FoldedBranch<T>::conv(branch));
      branches.back().trains_scale = options.train_scales && !branch.is_identity;
    }
    return branches;
  }

  static std::vector<FoldedBranch<T>> validated(const ConvShape& target, std::vector<FoldedBranch<T>> branches) {
    target.validate();
    require(!branches.empty(), "folding needs a branch; target: ", describe(target));
    for (std::size_t i = 0; i < branches.size(); ++i) branches[i].validate(target, concat("branch ", i));
    return branches;
  }

  void require_size(const char* what, std::size_t size) const {
    if (size == target_.size()) return;  // do not call describe(), which allocates
    require(false, what, " has ", size, " elements, target [", describe(target_), "] has ", target_.size());
  }

  /// Whether dL/ds of branch i is summed in each share.
  bool sums_scale_gradient(std::size_t i) const {
    return branches_[i].trains_scale && branches_[i].operators.size() == 1;
  }

  void allocate_working_memory() {
    std::size_t filters = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      filters += branches_[i].filter.size();
      sums_per_share_ += sums_scale_gradient(i) ? target_.out_channels : 0;
    }
    filters_.resize(filters);
    filter_factors_.resize(filters);
    scale_sums_.resize(fold_shares(target_) * sums_per_share_);
  }

  /// Cuts branch i into parts. A filtered branch has one part for each tap of its filter, a 1x1 convolution; other
  /// branches are one part. The pointers lead to the branch's own pieces of the working memory.
  void add_parts(std::size_t i, T* filters, const T* filter_factors, T* scale_sums) {
    const FoldedBranch<T>& branch = branches_[i];
    const ConvShape& shape = branch.convolution.shape;
    FoldPart<T> part{.placement = SlabPlacement(shape, target_), .factor = parameters_.scale(i).value.data()};
    part.covers_target = branch.filter.empty() && shape.size() == target_.size();
    if (sums_scale_gradient(i)) {
      part.scale_sums = scale_sums;
      part.sums_step = sums_per_share_;
    }
    auto& sequence = sequences_.emplace_back();
    if (branch.operators.size() == 2) {
      sequence.emplace(branch.operators[0], branch.operators[1], target_.groups);
      part.weight = sequence->kernel().data();
      part.weight_grad = sequence->kernel_grad().data();
      part.is_gathered = true;
    } else {
      part.weight = parameters_.weight(i).value.data();
      part.weight_grad = parameters_.weight(i).grad.data();
    }
    if (branch.filter.empty()) {
      parts_.push_back(part);
      return;
    }
    const Placement placed(shape, target_);
    for (std::size_t tap = 0; tap < shape.taps(); ++tap) {
      const WeightIndex of_branch{.row = tap / shape.kernel_size[1], .column = tap % shape.kernel_size[1]};
      const std::size_t first = tap * target_.out_channels;
      for (std::size_t o = 0; o < target_.out_channels; ++o) filters[first + o] = branch.filter[o * shape.taps() + tap];
      part.placement = SlabPlacement::at_tap(branch.operators[0], target_, placed(of_branch));
      part.filter = filters + first;
      part.factor = filter_factors + first;
      part.is_first = tap == 0;
      parts_.push_back(part);
    }
  }

  /// Computes the factors s * f of filtered branches from the current scales.
  void update_filter_factors() const {
    std::size_t next = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      const std::span<const T> s = parameters_.scale(i).value;
      for (std::size_t k = 0; k < branches_[i].filter.size(); ++k, ++next)
        filter_factors_[next] = s[k % s.size()] * filters_[next];
    }
  }

  void add_sequence_gradients(std::size_t i) {
    const Parameter &v = parameters_.weight(i, 0), &w = parameters_.weight(i, 1), &s = parameters_.scale(i);
    sequences_[i]->add_gradients(v.value, w.value, s.value, v.grad, w.grad, s.grad, overwrites_);
  }

  /// Adds the sums of dL/ds over all shares to the gradient of a trained scale. `sum_index` is the scale's index among
  /// the scales that are summed in this way.
  void add_scale_gradient(std::span<T> grad, std::size_t sum_index) {
    for (std::size_t o = 0; o < grad.size(); ++o) {
      T sum = 0;
      for (std::size_t k = sum_index * grad.size() + o; k < scale_sums_.size(); k += sums_per_share_)
        sum += scale_sums_[k];
      grad[o] = overwrites_ ? sum : grad[o] + sum;
    }
  }

  ConvShape target_;
  std::vector<FoldedBranch<T>> branches_;
  FoldedParameters<T> parameters_;
  std::vector<FoldPart<T>> parts_;  ///< the parts of all branches
  bool overwrites_ = true;          ///< whether the next add_gradients() overwrites, because zero_grad() was called

  /// Working memory.
  /// @{
  mutable std::vector<std::optional<FoldedSequence<T>>> sequences_;  ///< by branch; empty if it is no sequence
  std::vector<T> filters_;                 ///< (parts of filtered branches, out_channels), the filters f
  mutable std::vector<T> filter_factors_;  ///< the same shape, s * f
  std::vector<T> scale_sums_;              ///< (shares, summed scales, out_channels)
  std::size_t sums_per_share_ = 0;         ///< number of elements of scale_sums_ in each share
  /// @}
};

}  // namespace repopt
