// Both rules for a whole network. The Rule of Initialization computes a target network's kernels from a CSLA network.
// For the Rule of Iteration, add_parameters() adds the network's parameters to an optimizer, with their blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/parameter_groups.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"
#include "repopt/optim/rep_optimizer.hpp"

namespace repopt::nn {

/// Returns the CSLA block that a block's one kernel stands for: prior_branches(spec) with their scales. Throws
/// std::invalid_argument if a scale is missing or its length is wrong.
template <class T>
CslaBlock<T> prior_block(const BlockSpec& spec, const Scales<T>& scales) {
  std::vector<Branch<T>> branches;
  for (const PriorBranch& branch : prior_branches(spec))
    branches.push_back(branch.is_identity() ? Branch<T>::identity(spec.shape.out_channels)
                                            : Branch<T>(branch.shape, scale_of(scales, spec, branch.scale_name)));
  return {spec.shape, std::move(branches)};
}

/// Returns the target network that computes the same as `csla`, a network of CSLA blocks. Each kernel is the equivalent
/// kernel of its block; everything else is copied. Throws std::invalid_argument if a block has no CSLA branches or
/// lacks a parameter that the target has. The message names the first such block or parameter.
template <class T>
Vgg<T> equivalent_target(Vgg<T>& csla) {
  Vgg<T> target(csla.config(), [&](const BlockSpec& spec) {
    const std::optional<std::vector<T>> kernel = csla.blocks()[spec.index]->equivalent_kernel();
    require(kernel.has_value(), "block '", spec.name, "' has no CSLA branches, and so no equivalent kernel");
    require(kernel->size() == spec.shape.size(), "the equivalent kernel of '", spec.name, "' has ", kernel->size(),
            " weights, the target's has ", spec.shape.size());
    auto block = plain_block<T>(spec);
    block->conv.weight.value = *kernel;
    return block;
  });
  std::map<std::string, const Parameter<T>*> source;
  csla.visit_parameters([&](const std::string& name, Parameter<T>& parameter) { source[name] = &parameter; });
  target.visit_parameters([&](const std::string& name, Parameter<T>& parameter) {
    if (parameter.conv) return;
    const auto found = source.find(name);
    require(found != source.end() && found->second->dims == parameter.dims, "the CSLA network has no '", name,
            "' of the target's shape");
    parameter.value = found->second->value;
  });
  return target;
}

/// Returns a target network that starts like the CSLA network of the same seed and scales: the Rule of Initialization.
template <class T>
Vgg<T> target_from_prior(const VggConfig& config, std::uint64_t seed, const Scales<T>& scales) {
  Vgg<T> csla = csla_vgg<T>(config, seed, scales);
  return equivalent_target(csla);
}

/// Returns the CSLA blocks of a target network's kernels, by parameter name.
template <class T>
std::map<std::string, CslaBlock<T>> prior_blocks(const VggConfig& config, const Scales<T>& scales) {
  std::map<std::string, CslaBlock<T>> blocks;
  for (const BlockSpec& spec : config.block_specs())
    blocks.emplace(spec.name + ".conv.weight", prior_block(spec, scales));
  return blocks;
}

/// Returns the CSLA blocks of the kernels of deployed(target). In `target` one batch norm must follow each kernel.
/// After folding it, a kernel is a * W with a constant a for each output channel, so the constants of its branches are
/// a * s_i. Trained with these blocks, the deployed network follows the network with frozen batch norms that is trained
/// with prior_blocks(). Throws std::invalid_argument if a block does not have exactly one batch norm, a scale is
/// missing, or its length is wrong.
template <class T>
std::map<std::string, CslaBlock<T>> deployed_blocks(const Vgg<T>& target, const Scales<T>& scales) {
  std::map<std::string, CslaBlock<T>> blocks;
  for (const BlockSpec& spec : target.config().block_specs()) {
    std::vector<const BatchNorm2d<T>*> batch_norms;
    target.blocks()[spec.index]->visit_batch_norms([&](BatchNorm2d<T>& bn) { batch_norms.push_back(&bn); });
    require(batch_norms.size() == 1, "block '", spec.name, "' has ", batch_norms.size(),
            " batch norms, a kernel that was trained by the Rule of Iteration has 1 after it");
    const Vector<T> a = batch_norms.front()->eval_affine().scale;
    std::vector<Branch<T>> branches = prior_block(spec, scales).branches();
    for (Branch<T>& branch : branches)
      for (std::size_t c = 0; c < branch.scale.size(); ++c) branch.scale[c] *= a[Eigen::Index(c)];
    blocks.emplace(spec.name + ".conv.weight", CslaBlock<T>(spec.shape, std::move(branches)));
  }
  return blocks;
}

/// Adds every trained parameter of `model` to `optimizer`, in two groups: parameters that decay with
/// options.weight_decay, and all others without weight decay. `blocks` gives CSLA blocks to kernels, by name; without
/// blocks, training is the plain network's. The model must outlive the optimizer. Throws std::invalid_argument, and
/// leaves the optimizer unchanged, if a block names no kernel of the model, names a branch's kernel or has another
/// shape, if the rule has no form on such a kernel, if an option is out of range, or if the optimizer already has the
/// name or the memory of a parameter.
template <class Rule, class T>
void add_parameters(RepOptimizer<Rule, T>& optimizer, Vgg<T>& model, const typename Rule::Options& options,
                    std::map<std::string, CslaBlock<T>> blocks = {}) {
  if constexpr (!ReparameterizableRule<Rule, T>)
    require(blocks.empty(), "rule ", Rule::name,
            " has no form on the kernel of a CSLA block: train the branches folded");
  std::map<std::string, const Parameter<T>*> kernels;
  model.visit_parameters([&](const std::string& name, Parameter<T>& p) {
    if (p.conv) kernels[name] = &p;
  });
  for (const auto& [name, block] : blocks) {
    const auto kernel = kernels.find(name);
    require(kernel != kernels.end(), "the model has no kernel '", name, "'");
    require(!kernel->second->is_branch, "the model trains '", name,
            "' as one branch of its block: a branch's kernel takes no CSLA block");
    const ConvShape& shape = *kernel->second->conv;
    require(block.target() == shape, "the block of '", name, "' is for [", describe(block.target()),
            "], the kernel is [", describe(shape), "]");
  }
  detail::add_parameter_groups(optimizer, model, options, std::move(blocks));
}

}  // namespace repopt::nn
