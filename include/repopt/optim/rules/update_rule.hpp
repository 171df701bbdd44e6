// UpdateRule and ReparameterizableRule: what RepOptimizer asks of an update rule, and what a rule owes the equivalence.
#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include "repopt/optim/kernel_stream.hpp"

namespace repopt {

/// A rule that trains ordinary parameters: Options, State and one static update().
///
/// - `Rule::name`: identifies saved state.
/// - `Rule::validate(options)`: throws std::invalid_argument that names the option and its value.
/// - `Rule::update(weight, grad, grad_scale, state, options)`: one step on `weight` by `grad`, dL/dweight, times
///   `grad_scale`; both spans have the same size. Allocates the state on its first call; does not throw.
/// - `Rule::visit_options(options, visit)`: visit(name, option&) for each option, a double or a bool.
/// - `Rule::visit_state(state, visit)`: visit(name, member&) for each member, a std::vector<T> as long as the weight
/// and
///   in its layout (empty before the first step) or a std::size_t.
/// - `Rule::state_fault(state)`, optional: says in words how a loaded state contradicts itself; empty if it does not.
template <class Rule, class T>
concept UpdateRule = std::floating_point<T> &&
    requires(std::span<T> weight, std::span<const T> grad, T grad_scale, typename Rule::template State<T>& state,
             typename Rule::Options& options) {
  { Rule::name } -> std::convertible_to<std::string_view>;
  Rule::validate(options);
  Rule::update(weight, grad, grad_scale, state, options);
};

/// A rule that also trains kernels that stand for a CSLA block, by a second update(): `stream` is the block's.
///
/// Obligation: this update() must change the kernel exactly as the rule would change sum_i embed_i(s_i * W_i) if it
/// trained each branch of stream.block() by itself on the gradient s_i * (dL/dW')|_i. A rule that is linear in weight
/// and gradient does so by GradMult; any other needs a term for each branch (see AdamW and Lion). Adam with coupled
/// decay and LAMB have no such form: the one squares a gradient that the branch's weight was added to, the other
/// divides by norms of whole branches. They are UpdateRules only, and train branches folded.
template <class Rule, class T>
concept ReparameterizableRule = UpdateRule<Rule, T> &&
    requires(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
             typename Rule::template State<T>& state, typename Rule::Options& options) {
  Rule::update(weight, grad, grad_scale, stream, state, options);
};

}  // namespace repopt
