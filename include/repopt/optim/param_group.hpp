// ParamGroup: parameters that share the options of one update rule.
#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/optim/chunks.hpp"
#include "repopt/optim/kernel_stream.hpp"
#include "repopt/optim/rules/update_rule.hpp"

namespace repopt {

/// A parameter: the user's buffers, the CSLA block that the weight stands for, and the rule's state.
template <class Rule, std::floating_point T>
struct Param {
  std::string name;                          ///< the name that was given to add_param()
  std::span<T> weight;                       ///< the user's buffer; step() writes to it
  std::span<const T> grad;                   ///< the user's buffer with dL/dweight; it is only read
  std::optional<ConvShape> shape{};          ///< the kernel's shape; empty for an ordinary parameter
  std::optional<KernelStream<T>> stream{};   ///< the stream of a kernel that stands for a CSLA block
  typename Rule::template State<T> state{};  ///< the state that the rule keeps from step to step
  bool is_frozen = false;                    ///< whether step() leaves weight and state unchanged

  /// The branches that the weight stands for; empty without a block.
  std::vector<Branch<T>> branches() const { return stream ? stream->block().branches() : std::vector<Branch<T>>(); }

  /// Takes one step of the rule.
  void update(T grad_scale, const typename Rule::Options& options) {
    if constexpr (ReparameterizableRule<Rule, T>)
      if (stream) return Rule::update(weight, grad, grad_scale, *stream, state, options);
    Rule::update(weight, grad, grad_scale, state, options);
  }

  /// The contribution of this parameter to the squared gradient norm of the CSLA model: sum GradMult * grad^2.
  double csla_grad_norm_squared() const {
    return stream ? repopt::csla_grad_norm_squared(grad, *stream)
                  : repopt::csla_grad_norm_squared(grad, PlainStream<T>());
  }
};

/// A parameter's new buffers, for RepOptimizer::rebind().
template <std::floating_point T>
struct Binding {
  std::string_view name;    ///< the name that was given to add_param()
  std::span<T> weight;      ///< the new weight
  std::span<const T> grad;  ///< the buffer with its gradient
};

/// The memory of all parameters of an optimizer, by name. It makes sure that no weight is added twice, and that no step
/// writes into a gradient.
template <std::floating_point T>
class WeightRegistry {
 public:
  /// Registers a parameter. Throws std::invalid_argument if `name` is taken, if `grad` is not as long as `weight`, or
  /// if a weight would overlap a gradient or another weight.
  void add(const std::string& name, std::span<const T> weight, std::span<const T> grad) {
    require(!params_.contains(name), "there is already a parameter '", name, "'");
    require_free(name, {weight, grad}, params_);
    params_.emplace(name, Memory{weight, grad});
  }

  /// Replaces the memory of registered parameters. Throws in the same cases as add(), if a weight has another size than
  /// before, or if a name is listed twice.
  void replace(std::span<const Binding<T>> bindings) {
    std::map<std::string, Memory> params;
    for (const auto& [name, weight, grad] : bindings) {
      const std::size_t size = params_.at(std::string(name)).weight.size();
      require(weight.size() == size, "'", name, "' has ", size, " elements, the new weight has ", weight.size());
      require(params.emplace(name, Memory{weight, grad}).second, "'", name, "' is listed twice");
    }
    params.insert(params_.begin(), params_.end());  // keeps the new memory of those that are there already
    for (const auto& [name, weight, grad] : bindings) require_free(std::string(name), {weight, grad}, params);
    params_ = std::move(params);
  }

  /// Forgets a parameter.
  void remove(const std::string& name) { params_.erase(name); }

 private:
  /// A parameter's buffers.
  struct Memory {
    std::span<const T> weight, grad;
  };

  /// Throws std::invalid_argument if the memory of parameter `name` does not fit, or overlaps that of another of
  /// `params`.
  static void require_free(const std::string& name, const Memory& own, const std::map<std::string, Memory>& params) {
    const auto& [weight, grad] = own;
    require(grad.size() == weight.size(), "grad of '", name, "' has ", grad.size(), " elements, its weight has ",
            weight.size());
    require(!overlap<T>(weight, grad), "weight and grad of '", name, "' overlap in memory");
    for (const auto& [other, memory] : params) {
      if (other == name) continue;
      require(!overlap<T>(weight, memory.weight), "weights of '", name, "' and '", other, "' overlap in memory");
      require(!overlap<T>(weight, memory.grad), "weight of '", name, "' and grad of '", other, "' overlap in memory");
      require(!overlap<T>(grad, memory.weight), "grad of '", name, "' and weight of '", other, "' overlap in memory");
    }
  }

  std::map<std::string, Memory> params_;
};

/// A group of parameters that share options. RepOptimizer::add_param_group() makes it.
template <class Rule, std::floating_point T>
class ParamGroup {
 public:
  using Options = typename Rule::Options;  ///< the rule's options

  /// Only RepOptimizer calls this. All its groups share one registry.
  ParamGroup(const Options& options, WeightRegistry<T>* registry) : options_(options), registry_(registry) {}
  ParamGroup(const ParamGroup&) = delete;
  ParamGroup& operator=(const ParamGroup&) = delete;

  /// Adds a kernel that stands for `block`. `weight` and `grad` (dL/dweight) are (out_channels, in_channels / groups,
  /// kh, kw) in the layout of block.target(), and must outlive the optimizer. A call does not compile if the rule is
  /// not a ReparameterizableRule. Throws std::invalid_argument, and changes nothing, if the name is taken, a size is
  /// wrong, or the weight would overlap a gradient or another weight.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad, CslaBlock<T> block) {
    static_assert(ReparameterizableRule<Rule, T>,
                  "this update rule has no form on the kernel of a CSLA block: use Sgd, AdamW or Lion, or train the "
                  "branches folded, by FoldedKernel");
    Param<Rule, T> param{std::move(name), weight, grad, block.target()};
    param.stream.emplace(std::move(block));
    add(std::move(param));
  }

  /// Adds a kernel without a prior structure. Saved state is converted by the layout of `shape`. Throws in the same
  /// cases.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad, const ConvShape& shape) {
    add({std::move(name), weight, grad, shape});
  }

  /// Adds an ordinary parameter of any shape, e.g. a bias. Throws in the same cases.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad) {
    add({std::move(name), weight, grad});
  }

  /// A temporary gradient would be gone before the first step.
  void add_param(std::string name, std::span<T> weight, std::vector<T>&& grad, const auto&... block_or_shape) = delete;

  /// The parameters, in the order of add_param(), and the options that they share.
  /// @{
  const std::vector<Param<Rule, T>>& params() const { return params_; }
  const Options& options() const { return options_; }
  /// @}

  /// Throws std::invalid_argument, and changes nothing, if an option is out of range.
  void set_options(const Options& options) {
    Rule::validate(options);
    options_ = options;
  }

  /// Sets only the learning rate. Throws in the same cases as set_options().
  void set_lr(double lr) {
    Options options = options_;
    options.lr = lr;
    set_options(options);
  }

 private:
  template <class R, std::floating_point U>
    requires UpdateRule<R, U>
  friend class RepOptimizer;

  void add(Param<Rule, T> param) {
    const std::optional<ConvShape>& shape = param.shape;
    if (shape) {
      shape->validate();
      require(param.weight.size() == shape->size(), "weight of '", param.name, "' has ", param.weight.size(),
              " elements, target [", describe(*shape), "] has ", shape->size());
    }
    require(!param.weight.empty(), "weight of '", param.name, "' has no elements");
    // Make room first: if there is no memory, nothing may stay behind in the registry.
    if (params_.size() == params_.capacity()) params_.reserve(2 * params_.size() + 1);
    registry_->add(param.name, param.weight, param.grad);
    params_.push_back(std::move(param));
  }

  Options options_;
  WeightRegistry<T>* registry_;
  std::vector<Param<Rule, T>> params_;
};

}  // namespace repopt
