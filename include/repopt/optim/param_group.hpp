// ParamGroup: parameters that share the options of one update rule.
#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
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

/// A parameter: the user's buffers, what the weight stands for, and the rule's state.
template <class Rule, std::floating_point T>
struct Param {
  std::string name;                          ///< as given to add_param()
  std::span<T> weight;                       ///< the user's; step() writes here
  std::span<const T> grad;                   ///< the user's dL/dweight; only read
  std::optional<ConvShape> shape{};          ///< of a kernel; empty for an ordinary parameter
  std::optional<KernelStream<T>> stream{};   ///< of a kernel that stands for a CSLA block
  typename Rule::template State<T> state{};  ///< the rule's, from step to step
  bool is_frozen = false;                    ///< whether step() leaves weight and state alone

  /// The branches that the weight stands for; none without a block.
  std::vector<Branch<T>> branches() const { return stream ? stream->block().branches() : std::vector<Branch<T>>(); }

  /// One step of the rule.
  void update(T grad_scale, const typename Rule::Options& options) {
    if constexpr (ReparameterizableRule<Rule, T>)
      if (stream) return Rule::update(weight, grad, grad_scale, *stream, state, options);
    Rule::update(weight, grad, grad_scale, state, options);
  }

  /// What this parameter contributes to the squared gradient norm of the CSLA model: sum GradMult * grad^2.
  double csla_grad_norm_squared() const {
    return sum_over_chunks(weight.size(), [this](std::size_t first, std::size_t count) {
      T memory[max_chunk];
      const T* const m = stream ? stream->grad_mult(first, {memory, count}) : nullptr;
      double sum = 0;
      for (std::size_t k = 0; k < count; ++k) {
        const double g = double(grad[first + k]);
        sum += m ? double(m[k]) * g * g : g * g;
      }
      return sum;
    });
  }
};

/// The memory of the weights that an optimizer holds, by name, so that none is added twice.
template <std::floating_point T>
class WeightRegistry {
 public:
  /// Takes note of a parameter. Throws std::invalid_argument if `name` is taken, `grad` is not as long as `weight`, or
  /// `weight` overlaps another parameter's or the gradient.
  void add(const std::string& name, std::span<const T> weight, std::span<const T> grad) {
    require(!weights_.contains(name), "there is already a parameter '", name, "'");
    require_free(name, weight, grad);
    weights_.emplace(name, weight);
  }

  /// Replaces the memory of a parameter that is here. Throws as add(), and if it has another size.
  void replace(const std::string& name, std::span<const T> weight, std::span<const T> grad) {
    std::span<const T>& own = weights_.at(name);
    require(weight.size() == own.size(), "'", name, "' has ", own.size(), " elements, the new weight has ",
            weight.size());
    require_free(name, weight, grad);
    own = weight;
  }

  /// Forgets a parameter.
  void remove(const std::string& name) { weights_.erase(name); }

 private:
  void require_free(const std::string& name, std::span<const T> weight, std::span<const T> grad) const {
    require(grad.size() == weight.size(), "grad of '", name, "' has ", grad.size(), " elements, its weight has ",
            weight.size());
    require(!overlap<T>(weight, grad), "weight and grad of '", name, "' overlap in memory");
    for (const auto& [other, memory] : weights_)
      require(other == name || !overlap<T>(weight, memory), "weights of '", name, "' and '", other,
              "' overlap in memory");
  }

  std::map<std::string, std::span<const T>> weights_;
};

/// Parameters that share options. Made by RepOptimizer::add_param_group().
template <class Rule, std::floating_point T>
class ParamGroup {
 public:
  using Options = typename Rule::Options;  ///< the rule's

  /// For RepOptimizer, whose groups share one registry.
  ParamGroup(const Options& options, WeightRegistry<T>* registry) : options_(options), registry_(registry) {}
  ParamGroup(const ParamGroup&) = delete;
  ParamGroup& operator=(const ParamGroup&) = delete;

  /// Adds a kernel that stands for `block`: `weight` and `grad` (dL/dweight) are (out_channels, in_channels / groups,
  /// kh, kw) in the layout of block.target(), and must outlive the optimizer. Does not compile for a rule that has no
  /// form on such a kernel. Throws std::invalid_argument if the name is taken, a size is wrong, or the weight overlaps
  /// another parameter's or the gradient.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad, CslaBlock<T> block) {
    static_assert(ReparameterizableRule<Rule, T>,
                  "this update rule has no form on the kernel of a CSLA block: use Sgd, AdamW or Lion, or train the "
                  "branches folded, by FoldedKernel");
    Param<Rule, T>& param = add(std::move(name), weight, grad, block.target());
    param.stream.emplace(std::move(block));
  }

  /// Adds a kernel without a prior structure. Its shape has the layout by which saved state is converted. Throws as
  /// above.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad, const ConvShape& shape) {
    add(std::move(name), weight, grad, shape);
  }

  /// Adds an ordinary parameter of any shape, e.g. a bias. Throws as above.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad) {
    add(std::move(name), weight, grad, std::nullopt);
  }

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

  /// Sets the learning rate alone; throws as set_options().
  void set_lr(double lr) {
    Options options = options_;
    options.lr = lr;
    set_options(options);
  }

 private:
  template <class R, std::floating_point U>
    requires UpdateRule<R, U>
  friend class RepOptimizer;

  Param<Rule, T>& add(std::string name, std::span<T> weight, std::span<const T> grad,
                      const std::optional<ConvShape>& shape) {
    if (shape) {
      shape->validate();
      require(weight.size() == shape->size(), "weight of '", name, "' has ", weight.size(), " elements, target [",
              describe(*shape), "] has ", shape->size());
    }
    registry_->add(name, weight, grad);
    return params_.emplace_back(Param<Rule, T>{std::move(name), weight, grad, shape});
  }

  Options options_;
  WeightRegistry<T>* registry_;
  std::vector<Param<Rule, T>> params_;
};

}  // namespace repopt
