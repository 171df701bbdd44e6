// RepOptimizer: trains the user's parameters by an update rule, with a CSLA block for each kernel that stands for one.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/finite.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/optim/param_group.hpp"
#include "repopt/optim/rules/adam.hpp"
#include "repopt/optim/rules/adamw.hpp"
#include "repopt/optim/rules/lamb.hpp"
#include "repopt/optim/rules/lion.hpp"
#include "repopt/optim/rules/option_checks.hpp"
#include "repopt/optim/rules/sgd.hpp"
#include "repopt/optim/rules/update_rule.hpp"
#include "repopt/optim/state_dict.hpp"
#include "repopt/optim/state_matching.hpp"

namespace repopt {

/// An element of a gradient that is NaN or infinite.
template <std::floating_point T>
struct NonFiniteGrad {
  std::string param;      ///< the parameter's name
  std::size_t index = 0;  ///< the element's index in the gradient's memory
  T value = 0;            ///< NaN, or an infinity
};

/// An optimizer with Gradient Re-parameterization: it trains plain kernels with the dynamics of the CSLA blocks that
/// they stand for. Weights and gradients are the user's buffers. step() changes the weights, and nothing changes the
/// gradients. The optimizer never initializes weights, so you can start from pretrained weights; for the Rule of
/// Initialization call CslaBlock::equivalent_kernel() yourself.
///
///     RepSgd<float> optimizer;
///     auto& decayed = optimizer.add_param_group({.lr = 0.1, .momentum = 0.9, .weight_decay = 4e-5, .nesterov = true});
///     decayed.add_param("stage1.0.conv.weight", weight, grad, block);
///     ...                // fill grad
///     optimizer.step();  // the training loop zeroes its gradients itself
template <class Rule, std::floating_point T>
  requires UpdateRule<Rule, T>
class RepOptimizer {
 public:
  using Options = typename Rule::Options;          ///< the rule's options
  using ParamGroup = repopt::ParamGroup<Rule, T>;  ///< parameters that share options

  /// Makes an optimizer without parameters. It can be moved but not copied, because a copy would step the same weights.
  /// @{
  RepOptimizer() = default;
  RepOptimizer(RepOptimizer&&) = default;
  RepOptimizer& operator=(RepOptimizer&&) = default;
  /// @}

  /// Adds a group whose parameters share `options`. The reference stays valid as long as the optimizer lives, even if
  /// the optimizer is moved. Throws std::invalid_argument if an option is out of range.
  ParamGroup& add_param_group(const Options& options = {}) {
    Rule::validate(options);
    if (registry_.empty()) registry_.emplace_back();
    return param_groups_.emplace_back(options, registry_.data());
  }

  /// The groups, in the order of add_param_group().
  const std::deque<ParamGroup>& param_groups() const { return param_groups_; }

  /// The group number `index`, counted from 0 in the order of add_param_group(). Throws std::invalid_argument if there
  /// are fewer groups.
  ParamGroup& param_group(std::size_t index) {
    require(index < param_groups_.size(), "there is no param_group ", index, ", the optimizer has ",
            param_groups_.size());
    return param_groups_[index];
  }

  /// Removes a parameter and its state. Throws std::invalid_argument if there is no parameter of that name.
  void remove_param(std::string_view name) {
    const auto [group, index] = find_param(name);
    registry_.front().remove(group->params_[index].name);
    group->params_.erase(group->params_.begin() + std::ptrdiff_t(index));
  }

  /// Freezes a parameter, or lets it train again. While it is frozen, step() changes neither its weight nor its state:
  /// there is no decay and no momentum. clip_grad_norm() and first_non_finite_grad() then ignore its gradient, as torch
  /// does if requires_grad is false. Saved state does not contain this flag. Throws std::invalid_argument if there is
  /// no parameter of that name.
  void set_frozen(std::string_view name, bool frozen) {
    const auto [group, index] = find_param(name);
    group->params_[index].is_frozen = frozen;
  }

  /// Binds a parameter to other buffers of the same size and layout. The state stays, and no contents are copied.
  /// Throws std::invalid_argument, and changes nothing, if there is no parameter of that name, if a size differs, or if
  /// a weight would overlap a gradient or another weight.
  void rebind(std::string_view name, std::span<T> weight, std::span<const T> grad) {
    rebind(std::array{Binding<T>{name, weight, grad}});
  }

  /// The same for several parameters at once, which may take over each other's old buffers. Throws in the same cases,
  /// and if a name is listed twice.
  void rebind(std::span<const Binding<T>> bindings) {
    std::vector<Param<Rule, T>*> params;
    for (const Binding<T>& binding : bindings) {
      const auto [group, index] = find_param(binding.name);
      params.push_back(&group->params_[index]);
    }
    if (bindings.empty()) return;
    registry_.front().replace(bindings);
    for (std::size_t i = 0; i < params.size(); ++i) {
      params[i]->weight = bindings[i].weight;
      params[i]->grad = bindings[i].grad;
    }
  }

  /// A temporary gradient would be gone before the next step.
  void rebind(std::string_view name, std::span<T> weight, std::vector<T>&& grad) = delete;

  /// Sets the learning rate of every group. Throws std::invalid_argument, and changes nothing, if it is negative or not
  /// finite, or if the rule refuses it.
  void set_lr(double lr) {
    require_not_negative("lr", lr);
    for (const ParamGroup& group : param_groups_) {
      Options options = group.options();
      options.lr = lr;
      Rule::validate(options);
    }
    for (ParamGroup& group : param_groups_) group.options_.lr = lr;
  }

  /// Sets the factor that multiplies all gradients from the next step on: 1.0 / n averages a gradient that was summed
  /// over n micro-batches. Throws std::invalid_argument unless the factor is finite and positive as a T. Also throws
  /// after clip_grad_norm() and before the step() that follows it, because clip_grad_norm() has used the old factor.
  void set_grad_scale(double grad_scale) {
    require(std::isfinite(T(grad_scale)) && T(grad_scale) > 0, "grad_scale must be finite and > 0, it is ", grad_scale);
    require(!clip_waits_, "set_grad_scale(", grad_scale, ") must come before clip_grad_norm()");
    grad_scale_ = grad_scale;
  }

  /// torch.nn.utils.clip_grad_norm_ for the CSLA model. The next step() multiplies its gradients by min(1, max_norm /
  /// (norm + 1e-6)). Returns `norm`, the norm of all gradients of the CSLA model, sqrt(sum GradMult * grad^2), after
  /// grad_scale. This holds for every rule, because it only depends on the branches' gradients, not on updates. A NaN
  /// norm makes the coefficient NaN, as in torch. A second call before step() replaces the first. The norm is that of
  /// the parameters that train at this call: adding, removing, freezing or rebinding one before step() does not change
  /// it. Throws std::invalid_argument unless max_norm > 0.
  double clip_grad_norm(double max_norm) {
    require(max_norm > 0, "max_norm must be > 0, it is ", max_norm);
    double sum_of_squares = 0;
    for (const ParamGroup& group : param_groups_)
      for (const Param<Rule, T>& param : group.params())
        if (!param.is_frozen) sum_of_squares += param.csla_grad_norm_squared();
    const double norm = grad_scale_ * std::sqrt(sum_of_squares), coef = max_norm / (norm + 1e-6);
    clip_coef_ = coef > 1 ? 1 : coef;
    clip_waits_ = true;
    return norm;
  }

  /// The first NaN or infinity among the gradients, in the order of the parameters; nothing if all are finite. Frozen
  /// parameters are left out. Call it before step(), which would spread a NaN to weights and buffers for good. It reads
  /// all gradients once.
  std::optional<NonFiniteGrad<T>> first_non_finite_grad() const {
    for (const ParamGroup& group : param_groups_)
      for (const Param<Rule, T>& param : group.params()) {
        if (param.is_frozen) continue;
        if (const auto index = first_non_finite(param.grad)) return {{param.name, *index, param.grad[*index]}};
      }
    return std::nullopt;
  }

  /// Takes one step: calls Rule::update() for each parameter that is not frozen, with the gradient times grad_scale
  /// times the clip coefficient. The clip coefficient is used only once. Throws nothing but std::bad_alloc, when a rule
  /// needs memory for the first time; some parameters may have taken the step then.
  void step() {
    const T grad_scale = T(grad_scale_ * clip_coef_);
    for (ParamGroup& group : param_groups_)
      for (Param<Rule, T>& param : group.params_)
        if (!param.is_frozen) param.update(grad_scale, group.options_);
    clip_coef_ = 1;
    clip_waits_ = false;
  }

  /// The optimizer's state by parameter name: options of the groups, blocks with their scales, and the rule's buffers.
  /// The buffers are spans into this optimizer: later steps change them, and load_state_dict(), remove_param() and the
  /// optimizer's end make them invalid. Weights, grad_scale and a pending clip coefficient are not included.
  StateDict<T> state_dict() const {
    StateDict<T> dict{.rule = std::string(Rule::name), .param_groups = {}, .params = {}};
    for (std::size_t group = 0; group < param_groups_.size(); ++group) {
      dict.param_groups.push_back(save_options<Rule>(param_groups_[group].options()));
      for (const Param<Rule, T>& param : param_groups_[group].params()) dict.params.push_back(save_param(param, group));
    }
    return dict;
  }

  /// Takes over options, scales and buffers from `saved`, which may be in other layouts. Parameters are matched by
  /// name. A pending clip coefficient is dropped. Throws std::invalid_argument, and changes nothing, if the rule, the
  /// set of names, a parameter's group, a shape, a branch or a buffer's size differs, or if an option or scale is not
  /// valid. The message names the parameter and both values.
  void load_state_dict(const StateDict<T>& saved) {
    require(saved.rule == Rule::name, "the optimizer's rule is ", Rule::name, ", the saved one is ", saved.rule);
    require(saved.param_groups.size() == param_groups_.size(), "the optimizer has ", param_groups_.size(),
            " param_groups, the saved state has ", saved.param_groups.size());
    std::vector<Options> options;
    for (const auto& group : saved.param_groups) options.push_back(load_options<Rule>(group));
    std::vector<ParamKey> own_keys, saved_keys;
    for (std::size_t group = 0; group < param_groups_.size(); ++group)
      for (const Param<Rule, T>& param : param_groups_[group].params()) own_keys.push_back({param.name, group});
    for (const ParamState<T>& param : saved.params) saved_keys.push_back({param.name, param.group});
    const std::vector<std::size_t> matches = match_params(own_keys, saved_keys);

    std::vector<LoadedParam<Rule, T>> loaded;
    for (const ParamGroup& group : param_groups_)
      for (const Param<Rule, T>& param : group.params())
        loaded.push_back(load_param(param, saved.params[matches[loaded.size()]]));

    clip_coef_ = 1;  // a pending clip coefficient was computed for another state
    clip_waits_ = false;
    auto next = loaded.begin();
    for (std::size_t group = 0; group < param_groups_.size(); ++group) {
      param_groups_[group].options_ = options[group];
      for (Param<Rule, T>& param : param_groups_[group].params_) {
        param.stream = std::move(next->stream);
        param.state = std::move(next->state);
        ++next;
      }
    }
  }

 private:
  /// Finds a parameter: its group and its index in the group. Throws std::invalid_argument if there is no parameter of
  /// that name.
  std::pair<ParamGroup*, std::size_t> find_param(std::string_view name) {
    for (ParamGroup& group : param_groups_)
      for (std::size_t index = 0; index < group.params_.size(); ++index)
        if (group.params_[index].name == name) return {&group, index};
    require(false, "there is no parameter '", name, "'");
    return {};
  }

  /// At most one; it is on the heap, so the groups' pointers stay valid after a move.
  std::vector<WeightRegistry<T>> registry_;
  std::deque<ParamGroup> param_groups_;
  double grad_scale_ = 1;
  double clip_coef_ = 1;     ///< used by the next step()
  bool clip_waits_ = false;  ///< whether clip_grad_norm() was called since the last step()
};

/// SGD with Gradient Re-parameterization.
template <std::floating_point T>
using RepSgd = RepOptimizer<Sgd, T>;

/// AdamW with Gradient Re-parameterization.
template <std::floating_point T>
using RepAdamW = RepOptimizer<AdamW, T>;

/// Lion with Gradient Re-parameterization.
template <std::floating_point T>
using RepLion = RepOptimizer<Lion, T>;

}  // namespace repopt
