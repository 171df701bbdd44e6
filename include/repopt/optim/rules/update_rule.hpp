// UpdateRule and ReparameterizableRule: the concepts that RepOptimizer requires of an update rule, and the rule's
// obligation to the equivalence.
#pragma once

#include <concepts>
#include <span>
#include <string_view>

#include "repopt/optim/kernel_stream.hpp"

namespace repopt {

/// A rule that trains ordinary parameters. It has Options, State and one static update():
///
/// - `Rule::name`: identifies the rule in saved state.
/// - `Rule::validate(options)`: throws std::invalid_argument if an option is not valid. The message names the option
///   and its value.
/// - `Rule::update(weight, grad, grad_scale, state, options)`: takes one step on `weight` with the gradient `grad`,
///   dL/dweight, times `grad_scale`. Both spans have the same size. The first call allocates the state. Throws nothing
///   but std::bad_alloc.
/// - `Rule::visit_options(options, visit)`: calls visit(name, option&) for each option, a double or a bool.
/// - `Rule::visit_state(state, visit)`: calls visit(name, member&) for each member of the state. A member is a
///   std::size_t or a std::vector<T>; a vector is as long as the weight and in its layout, or empty before the first
///   step.
/// - `Rule::state_fault(state)`, optional: says in words how a loaded state contradicts itself. The text is empty if it
///   does not.
template <class Rule, class T>
concept UpdateRule = std::floating_point<T> &&
    requires(std::span<T> weight, std::span<const T> grad, T grad_scale, typename Rule::template State<T>& state,
             const typename Rule::Options& options) {
  { Rule::name } -> std::convertible_to<std::string_view>;
  Rule::validate(options);
  Rule::update(weight, grad, grad_scale, state, options);
};

/// A rule that also trains kernels that stand for a CSLA block. It has a second update(), which takes the block's
/// `stream`.
///
/// This update() must change the kernel exactly as the rule would change sum_i embed_i(s_i * W_i) if it trained each
/// branch of stream.block() on its own, with the gradient s_i * (dL/dW')|_i. A rule that is linear in weight and
/// gradient fulfils this with GradMult. Any other rule needs one term for each branch: see AdamW and Lion. Adam with
/// coupled decay and LAMB have no such form. Adam squares a gradient to which the branch's weight was added, and LAMB
/// divides by norms of whole branches. They are UpdateRules only and train branches folded.
template <class Rule, class T>
concept ReparameterizableRule = UpdateRule<Rule, T> &&
    requires(std::span<T> weight, std::span<const T> grad, T grad_scale, const KernelStream<T>& stream,
             typename Rule::template State<T>& state, const typename Rule::Options& options) {
  Rule::update(weight, grad, grad_scale, stream, state, options);
};

}  // namespace repopt
