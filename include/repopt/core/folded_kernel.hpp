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
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/fold_loops.hpp"
#include "repopt/core/fold_part.hpp"
#include "repopt/core/folded_branch.hpp"
#include "repopt/core/folded_sequence.hpp"

namespace repopt {

/// Folded training. A block that is linear in its input computes conv(x, W') with W' = F(theta), theta being all its
/// weights and scales. So a network need only compute that one convolution: with G = dL/dW' of its backward pass, the
/// adjoint of F's derivative gives dL/dtheta, the gradients that the real branches would have got. Any optimizer trains
/// theta by them, and the training is the multi-branch block's, for one kernel's cost in the network:
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
/// Owns the weights and scales of the branches and their gradients. Movable, not copyable; spans stay valid when it is
/// moved. Calls of one object must not run at the same time; within a call, loops are parallel as parallel_for() says.
/// Nothing is allocated after construction.
template <std::floating_point T>
class FoldedKernel {
 public:
  /// What the constructor from a block may be told.
  struct Options {
    /// Whether the scales are trained, but for those of identities, whose weight is their one trained number.
    bool train_scales = false;
  };

  /// A weight or a scale.
  struct Parameter {
    std::string name;                  ///< e.g. "0.weight", "0.scale", or the branch's own
    std::span<T> value;                ///< the numbers
    std::span<T> grad;                 ///< dL/dvalue; empty for a constant scale
    std::optional<ConvShape> shape{};  ///< of a weight, with its layout; none for a scale
    bool decays = false;               ///< whether weight decay applies: to weights
    /// Whether it is trained.
    bool is_trained() const { return !grad.empty(); }
  };

  /// Folds the branches of a CSLA block.
  explicit FoldedKernel(const CslaBlock<T>& block, Options options = {})
      : FoldedKernel(block.target(), branches_of(block, options)) {}

  /// Folds branches of any kind into a kernel of `target`. Throws std::invalid_argument, naming the branch, if there is
  /// none, one does not fold into the target (see FoldedBranch::validate()), or two parameters have one name.
  FoldedKernel(const ConvShape& target, std::vector<FoldedBranch<T>> branches)
      : target_(target), branches_(std::move(branches)) {
    target_.validate();
    require(!branches_.empty(), "folding needs a branch; target: ", describe(target_));
    for (std::size_t i = 0; i < branches_.size(); ++i) branches_[i].validate(target_, concat("branch ", i));
    add_parameters();
    allocate_working_memory();
    for (std::size_t i = 0; i < branches_.size(); ++i) add_parts(i);
  }

  FoldedKernel(FoldedKernel&&) noexcept = default;
  FoldedKernel& operator=(FoldedKernel&&) noexcept = default;

  /// The kernel's shape, and all weights and scales in the order of the branches, weights before their scale.
  /// @{
  const ConvShape& target() const { return target_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  /// @}

  /// visit(name, value, grad, decays) for everything that is trained.
  void visit_parameters(auto visit) {
    for (const Parameter& parameter : parameters_)
      if (parameter.is_trained()) visit(parameter.name, parameter.value, parameter.grad, parameter.decays);
  }

  /// kernel = F(theta), (out_channels, in_channels / groups, kh, kw) in the target's layout: before the forward pass.
  /// Throws std::invalid_argument if `kernel` has another size.
  void fold(std::span<T> kernel) const {
    require_size("the kernel", kernel.size());
    update_filter_factors();
    for (std::size_t i = 0; i < branches_.size(); ++i)
      if (sequences_[i]) sequences_[i]->fold(weights(i, 0), weights(i, 1));
    for_each_fold_slab(target_, [&](std::size_t, const FoldSlab& slab) {
      const bool is_covered = parts_[0].covers_target;
      if (!is_covered) std::fill_n(kernel.data() + slab.begin(), slab.size(), T(0));
      for (const FoldPart<T>& part : parts_) part.add_to(slab, kernel.data(), is_covered && &part == &parts_[0]);
    });
  }

  /// Makes the next add_gradients() write the gradients instead of adding to them. Until then they are as they were.
  void zero_grad() { overwrites_ = true; }

  /// Adds dL/dtheta for `kernel_grad`, G = dL/dW' at the weights and scales of now. Linear in G: average over
  /// micro-batches or processes before. Throws std::invalid_argument if `kernel_grad` has another size.
  void add_gradients(std::span<const T> kernel_grad) {
    require_size("the kernel's gradient", kernel_grad.size());
    update_filter_factors();
    std::ranges::fill(scale_sums_, T(0));
    for_each_fold_slab(target_, [&](std::size_t share, const FoldSlab& slab) {
      for (const FoldPart<T>& part : parts_) part.add_gradients(slab, share, kernel_grad.data(), overwrites_);
    });
    std::size_t summed = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i)
      if (sequences_[i])
        sequences_[i]->add_gradients(weights(i, 0), weights(i, 1), scale(i), grads(i, 0), grads(i, 1), scale_grad(i),
                                     overwrites_);
      else if (branches_[i].trains_scale)
        add_scale_gradient(i, summed++);
    overwrites_ = false;
  }

  /// The CSLA block of the branches with their scales as they are: for the RepOptimizer that comes after a search.
  /// Throws std::invalid_argument, naming the branch, if the weights of one have no places of their own in the kernel.
  CslaBlock<T> block() const {
    std::vector<Branch<T>> branches;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      require(!sequences_[i] && branches_[i].filter.empty(), "branch ", i, " is a ",
              sequences_[i] ? "sequence" : "filtered branch",
              ": its weights have no places of their own in the kernel, so that no CslaBlock stands for it");
      Branch<T>& branch = branches.emplace_back(branches_[i].convolution);
      std::ranges::copy(scale(i), branch.scale.begin());
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

  void require_size(const char* what, std::size_t size) const {
    require(size == target_.size(), what, " has ", size, " elements, target [", describe(target_), "] has ",
            target_.size());
  }

  /// The parameters of branch i: where they begin in parameters_, and their parts.
  /// @{
  std::span<T> weights(std::size_t i, std::size_t which) const {
    return parameters_[first_parameter_[i] + which].value;
  }
  std::span<T> grads(std::size_t i, std::size_t which) const { return parameters_[first_parameter_[i] + which].grad; }
  std::span<T> scale(std::size_t i) const { return weights(i, branches_[i].operators.size()); }
  std::span<T> scale_grad(std::size_t i) const { return grads(i, branches_[i].operators.size()); }
  /// @}

  /// Names the parameters, gives them memory and their initial values.
  void add_parameters() {
    std::size_t values = 0, gradients = 0;
    for (const FoldedBranch<T>& branch : branches_) {
      for (const ConvShape& shape : branch.operators) values += shape.size(), gradients += shape.size();
      values += target_.out_channels;
      gradients += branch.trains_scale ? target_.out_channels : 0;
    }
    values_.resize(values);
    gradients_.resize(gradients);
    std::span<T> free_values = values_, free_gradients = gradients_;
    const auto add = [&](std::string name, std::size_t size, bool is_trained, const std::optional<ConvShape>& shape) {
      for (const Parameter& other : parameters_) require(other.name != name, "there are two parameters '", name, "'");
      const std::size_t gradient_size = is_trained ? size : 0;
      parameters_.push_back(
          {std::move(name), free_values.first(size), free_gradients.first(gradient_size), shape, shape.has_value()});
      free_values = free_values.subspan(size);
      free_gradients = free_gradients.subspan(gradient_size);
      return parameters_.back().value;
    };
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      const FoldedBranch<T>& branch = branches_[i];
      first_parameter_.push_back(parameters_.size());
      for (std::size_t k = 0; k < branch.operators.size(); ++k) {
        const std::string default_name =
            branch.operators.size() == 1 ? concat(i, ".weight") : concat(i, ".", k, ".weight");
        const std::span<T> value = add(branch.weight_names.empty() ? default_name : branch.weight_names[k],
                                       branch.operators[k].size(), true, branch.operators[k]);
        if (!branch.initial_weights.empty())
          std::ranges::copy(branch.initial_weights[k], value.begin());
        else
          std::ranges::fill(value, branch.convolution.is_identity ? T(1) : T(0));
      }
      const std::span<T> scale = add(branch.scale_name.empty() ? concat(i, ".scale") : branch.scale_name,
                                     target_.out_channels, branch.trains_scale, std::nullopt);
      std::ranges::copy(branch.convolution.scale, scale.begin());
    }
  }

  /// Whether dL/ds of branch i is summed share by share.
  bool sums_scale_gradient(std::size_t i) const {
    return branches_[i].trains_scale && branches_[i].operators.size() == 1;
  }

  void allocate_working_memory() {
    std::size_t filters = 0, sums = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      filters += branches_[i].filter.size();
      sums += sums_scale_gradient(i) ? target_.out_channels : 0;
    }
    filters_.resize(filters);
    filter_factors_.resize(filters);
    scale_sums_.resize(fold_shares(target_) * sums);
    sums_per_share_ = sums;
  }

  /// Cuts branch i into parts: a filtered one into a 1x1 convolution for each tap of its filter.
  void add_parts(std::size_t i) {
    const FoldedBranch<T>& branch = branches_[i];
    const ConvShape& shape = branch.convolution.shape;
    FoldPart<T> part{.placement = SlabPlacement(shape, target_), .factor = scale(i).data()};
    part.covers_target = branch.filter.empty() && shape.size() == target_.size();
    if (sums_scale_gradient(i)) {
      part.scale_sums = scale_sums_.data() + next_sum_;
      part.sums_step = sums_per_share_;
      next_sum_ += target_.out_channels;
    }
    auto& sequence = sequences_.emplace_back();
    if (branch.operators.size() == 2) {
      sequence.emplace(branch.operators[0], branch.operators[1], target_.groups);
      part.weight = sequence->kernel().data();
      part.weight_grad = sequence->kernel_grad().data();
      part.is_gathered = true;
    } else {
      part.weight = weights(i, 0).data();
      part.weight_grad = grads(i, 0).data();
    }
    if (branch.filter.empty()) {
      parts_.push_back(part);
      return;
    }
    const Placement placed(shape, target_);
    for (std::size_t tap = 0; tap < shape.taps(); ++tap) {
      const WeightIndex of_branch{.row = tap / shape.kernel_size[1], .column = tap % shape.kernel_size[1]};
      part.placement = SlabPlacement::at_tap(branch.operators[0], target_, placed(of_branch));
      for (std::size_t o = 0; o < target_.out_channels; ++o)
        filters_[next_filter_ + o] = branch.filter[o * shape.taps() + tap];
      part.filter = filters_.data() + next_filter_;
      part.factor = filter_factors_.data() + next_filter_;
      part.is_first = tap == 0;
      parts_.push_back(part);
      next_filter_ += target_.out_channels;
    }
  }

  /// The factors s * f of filtered branches, for the scales of now.
  void update_filter_factors() const {
    std::size_t next = 0;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      const std::span<const T> s = scale(i);
      for (std::size_t k = 0; k < branches_[i].filter.size(); ++k, ++next)
        filter_factors_[next] = s[k % s.size()] * filters_[next];
    }
  }

  /// Adds the shares' sums of dL/ds to the gradient of a trained scale, the sum_index-th that is summed so.
  void add_scale_gradient(std::size_t i, std::size_t sum_index) {
    const std::span<T> grad = scale_grad(i);
    for (std::size_t o = 0; o < grad.size(); ++o) {
      T sum = 0;
      for (std::size_t k = sum_index * grad.size() + o; k < scale_sums_.size(); k += sums_per_share_)
        sum += scale_sums_[k];
      grad[o] = overwrites_ ? sum : grad[o] + sum;
    }
  }

  ConvShape target_;
  std::vector<FoldedBranch<T>> branches_;
  std::vector<T> values_, gradients_;         ///< what parameters_ are spans of
  std::vector<Parameter> parameters_;         ///< by branch: weights, scale
  std::vector<std::size_t> first_parameter_;  ///< of each branch
  std::vector<FoldPart<T>> parts_;            ///< of all branches
  bool overwrites_ = true;                    ///< what zero_grad() said

  /// Working memory.
  /// @{
  mutable std::vector<std::optional<FoldedSequence<T>>> sequences_;  ///< by branch
  std::vector<T> filters_;                                           ///< (parts of filtered branches, out_channels), f
  mutable std::vector<T> filter_factors_;                            ///< likewise, s * f
  std::vector<T> scale_sums_;                                        ///< (shares, scales that are summed, out_channels)
  std::size_t sums_per_share_ = 0, next_sum_ = 0, next_filter_ = 0;
  /// @}
};

}  // namespace repopt
