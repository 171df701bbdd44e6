// UpdateRule: what RepOptimizer asks of an update rule, and what a rule owes to the equivalence.
#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include "repopt/core/csla_block.hpp"

namespace repopt {

/// An update rule: Options, State and one static update().
///
/// Obligation: update() must change the kernel exactly as the rule would change sum_i embed_i(s_i * W_i) if it trained
/// each branch of `block` by itself on the gradient s_i * (dL/dW')|_i. A rule that is linear in weight and gradient
/// gets there with GradMult; any other needs one term per branch (see AdamW). LARS, LAMB and Adam with coupled decay
/// mix whole tensors, or a decayed weight into the moments: they have no such form and must not be written as rules.
///
/// - `Rule::name`: identifies saved state.
/// - `Rule::validate(options)`: throws std::invalid_argument that names the option and its value.
/// - `Rule::validate_state(state)`, optional: throws std::invalid_argument if a loaded state contradicts itself.
/// - `Rule::update(weight, grad, grad_scale, block, state, options)`: one step; `grad_scale` multiplies the gradient
///   before everything else; allocates the state on its first call; does not throw.
/// - `Rule::visit_options(options, visit)`: visit(name, option&) for each option, a double or a bool.
/// - `Rule::visit_state(state, visit)`: visit(name, member&) for each member, a std::vector<T> of the weight's layout
///   (empty before the first step) or a std::size_t.
template <class Rule, class T>
concept UpdateRule = std::floating_point<T> &&
    requires(std::span<T> weight, std::span<const T> grad, T grad_scale, const CslaBlock<T>& block,
             typename Rule::template State<T>& state, typename Rule::Options& options) {
  { Rule::name } -> std::convertible_to<std::string_view>;
  Rule::validate(options);
  Rule::update(weight, grad, grad_scale, block, state, options);
};

}  // namespace repopt
