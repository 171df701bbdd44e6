// ParamGroup: parameters that share the options of one update rule.
#pragma once

#include <concepts>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/grad_mult.hpp"
#include "repopt/optim/rules/update_rule.hpp"

namespace repopt {

/// The weights that an optimizer holds, by name, so that none is added twice.
template <std::floating_point T>
using ParamRegistry = std::map<std::string, std::span<const T>>;

/// A parameter: the user's buffers, the block that the weight stands for, and the rule's state.
template <class Rule, std::floating_point T>
struct Param {
  std::string name;                          ///< as given to add_param()
  std::span<T> weight;                       ///< the user's; step() writes here
  std::span<const T> grad;                   ///< the user's dL/dweight; only read
  CslaBlock<T> block;                        ///< what the weight stands for
  typename Rule::template State<T> state{};  ///< the rule's, from step to step

  /// What this parameter contributes to the squared gradient norm of the CSLA model: sum GradMult * grad^2.
  double csla_grad_norm_squared() const {
    const GradMult<T> grad_mult(block);
    return block.sum_over_chunks([&](std::size_t first, std::span<T> chunk) {
      const T* const m = grad_mult.of_chunk(first, chunk);
      double sum = 0;
      for (std::size_t k = 0; k < chunk.size(); ++k)
        sum += double(m[k]) * double(grad[first + k]) * double(grad[first + k]);
      return sum;
    });
  }
};

/// Parameters that share options. Made by RepOptimizer::add_param_group().
template <class Rule, std::floating_point T>
class ParamGroup {
 public:
  using Options = typename Rule::Options;  ///< the rule's

  /// For RepOptimizer, whose groups share one registry.
  ParamGroup(const Options& options, ParamRegistry<T>* registry) : options_(options), registry_(registry) {}
  ParamGroup(const ParamGroup&) = delete;
  ParamGroup& operator=(const ParamGroup&) = delete;

  /// Adds a kernel that stands for `block`: `weight` and `grad` (dL/dweight) are (out_channels, in_channels / groups,
  /// kh, kw) in the layout of block.target(), and must outlive the optimizer. Throws std::invalid_argument if the name
  /// is taken, a size is wrong, or the weight overlaps another parameter's or the gradient.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad, CslaBlock<T> block) {
    const auto size = block.target().size();
    require(weight.size() == size, "weight of '", name, "' has ", weight.size(), " elements, target [",
            describe(block.target()), "] has ", size);
    require(grad.size() == size, "grad of '", name, "' has ", grad.size(), " elements, its weight has ", size);
    require(!registry_->contains(name), "there is already a parameter '", name, "'");
    require(!overlap<T>(weight, grad), "weight and grad of '", name, "' overlap in memory");
    for (const auto& [other, memory] : *registry_)
      require(!overlap<T>(weight, memory), "weights of '", name, "' and '", other, "' overlap in memory");
    registry_->emplace(name, weight);
    params_.push_back({std::move(name), weight, grad, std::move(block)});
  }

  /// Adds a kernel without a prior structure, whose layout is worth knowing: saved state is converted by it.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad, const ConvShape& shape) {
    add_param(std::move(name), weight, grad, CslaBlock<T>::plain(shape));
  }

  /// Adds an ordinary parameter of any shape, e.g. a bias.
  void add_param(std::string name, std::span<T> weight, std::span<const T> grad) {
    add_param(std::move(name), weight, grad, ConvShape::linear(weight.size(), 1));
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

  Options options_;
  ParamRegistry<T>* registry_;
  std::vector<Param<Rule, T>> params_;
};

}  // namespace repopt
