// FoldedKernels: trains the branches of a module's kernels by any optimizer of torch::optim, while the module computes
// the plain kernels.
#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/libtorch/dense_tensor.hpp"
#include "repopt/libtorch/folded_blocks.hpp"
#include "repopt/libtorch/folded_tensor.hpp"
#include "repopt/libtorch/initialize.hpp"
#include "repopt/libtorch/rep_vgg_blocks.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// Options of FoldedKernels.
struct FoldedOptions {
  bool train_scales = false;  ///< whether the scales are trained, but for those of identities
};

/// Folded training of a module (see FoldedKernel). The module computes its plain kernels. The weights and scales of the
/// branches are tensors, which any optimizer of torch::optim may train. The training is that of the real branches:
///
///     const auto blocks = repopt::libtorch::rep_vgg_blocks(*model);
///     repopt::libtorch::FoldedKernels folded(*model, blocks, {.train_scales = true});  // Hyper-Search
///     const auto options = torch::optim::SGDOptions(0.1).momentum(0.9).weight_decay(1e-4);
///     torch::optim::SGD optimizer(folded.param_groups(options), options);
///     for (...) {
///       folded.fold();                         // writes the kernels
///       model->zero_grad();
///       loss(model->forward(x)).backward();
///       folded.set_gradients();                // sets the gradients of weights and scales
///       optimizer.step();
///     }
///     const auto found = rep_vgg_blocks(*next_model, {.scales = folded.scales()});
///
/// Weights and scales are in the kernels' precision, float or double, and on their devices. On the CPU they are folded
/// in place. For kernels on another device, fold() and set_gradients() copy weights, scales and gradients to the CPU,
/// fold there, and copy the result back. Move the module to its device and precision first.
class FoldedKernels {
 public:
  /// Folds CSLA blocks. Their branches start with weights of draw_branch_weights(), or with the given ones. The blocks
  /// of rep_vgg_blocks() have scales with the names that RepVggOptions::scales explains; the branches of others have
  /// numbers, as in "features.3.0.scale". Throws what the constructor from FoldedBlocks throws, and
  /// std::invalid_argument if the number of weights, or the size of one, is wrong.
  /// @{
  FoldedKernels(const torch::nn::Module& module, const CslaBlocks& blocks, const FoldedOptions& options = {})
      : FoldedKernels(module, folded_blocks(blocks, options.train_scales)) {}
  FoldedKernels(const torch::nn::Module& module, const RepVggBlocks& blocks, const FoldedOptions& options = {})
      : FoldedKernels(module, folded_blocks(blocks, options.train_scales)) {}
  FoldedKernels(const torch::nn::Module& module, const CslaBlocks& blocks, const BranchWeights& branch_weights,
                const FoldedOptions& options = {})
      : FoldedKernels(module, with_weights(folded_blocks(blocks, options.train_scales), blocks, branch_weights)) {}
  FoldedKernels(const torch::nn::Module& module, const RepVggBlocks& blocks, const BranchWeights& branch_weights,
                const FoldedOptions& options = {})
      : FoldedKernels(module, with_weights(folded_blocks(blocks, options.train_scales), blocks, branch_weights)) {}
  /// @}

  /// Folds branches of any kind: filtered ones and sequences, too. Weights without FoldedBranch::initial_weights are
  /// drawn by draw_weight() in the order of the module's parameters, and identities start at 1. Throws
  /// std::invalid_argument if the module lacks a kernel, a kernel has another shape or is neither float nor double, or
  /// a branch does not fold (see FoldedBranch::validate()); c10::Error if two tensors would have the same name.
  FoldedKernels(const torch::nn::Module& module, const FoldedBlocks& blocks) {
    const auto params = module.named_parameters();
    for (const auto& [name, block] : blocks) {
      require(params.contains(name), "there are branches for '", name, "', but no such parameter");
      require_kernel(name, params[name], block.target);
      for (std::size_t i = 0; i < block.branches.size(); ++i)
        block.branches[i].validate(block.target, concat("branch ", i, " of '", name, "'"));
    }
    for (const auto& param : params) {
      const auto block = blocks.find(param.key());
      if (block == blocks.end())
        add(param.key(), param.value(), param.value().dim() > 1);
      else
        add_kernel(param.key(), param.value(), block->second);
    }
  }

  /// Writes the module's kernels from the current weights and scales. Call it before the forward pass, and after the
  /// last step. Throws std::invalid_argument if a kernel has got another precision.
  void fold() {
    const torch::NoGradGuard no_grad;
    detail::use_threads_of_libtorch();
    for (auto& kernel : kernels_) std::visit([](auto& folded) { folded.fold(); }, kernel);
  }

  /// Sets the gradients of weights and scales from those of the module's kernels, which backward() has summed over all
  /// micro-batches. Call it once before each step of the optimizer. A kernel without a gradient gives none. Throws in
  /// the same case as fold().
  void set_gradients() {
    const torch::NoGradGuard no_grad;
    detail::use_threads_of_libtorch();
    for (auto& kernel : kernels_) std::visit([](auto& folded) { folded.set_gradients(); }, kernel);
  }

  /// Everything to train: the branches' weights and trained scales in the place of the folded kernels, and all other
  /// parameters of the module. Names are those of the module and of the branches.
  /// @{
  const torch::OrderedDict<std::string, Tensor>& named_parameters() const { return params_; }
  std::vector<Tensor> parameters() const { return params_.values(); }
  /// @}

  /// The same in two groups for an optimizer of torch::optim, whose options these are: first the parameters that decay,
  /// then all others, without weight decay. Weights of branches and parameters of more than one dimension decay.
  template <class Options>
  std::vector<torch::optim::OptimizerParamGroup> param_groups(const Options& options) const {
    std::vector<torch::optim::OptimizerParamGroup> groups;
    groups.emplace_back(decayed_, std::make_unique<Options>(options));
    groups.emplace_back(others_, std::make_unique<Options>(Options(options).weight_decay(0)));
    return groups;
  }

  /// The current scales of all branches by name, and the weights of identities. They can go to
  /// formats::save_scales(path, scales). If this object was made from RepVggBlocks, they can also go to
  /// RepVggOptions::scales for a module of the same layers; scales of other branches have other names.
  Scales<double> scales() const {
    Scales<double> scales;
    for_each_scale([&](const std::string& name, const Tensor& value) { scales[name] = detail::to_numbers(value); });
    return scales;
  }

  /// Sets the scales of all branches and the weights of identities, such as to those of formats::load_scales(path).
  /// Throws std::invalid_argument, and changes nothing, if a scale is missing, has another length, or is not finite in
  /// the kernel's precision, or if no branch has its name.
  void load_scales(const Scales<double>& scales) {
    std::vector<Tensor> rounded;
    for_each_scale([&](const std::string& name, const Tensor& value) {
      const auto given = scales.find(name);
      require(given != scales.end(), "the scales lack '", name, "'");
      require(std::int64_t(given->second.size()) == value.numel(), "'", name, "' has ", given->second.size(),
              " elements, the branch has ", value.numel());
      rounded.push_back(torch::tensor(given->second, torch::kDouble).to(value.scalar_type()).view(value.sizes()));
      const std::vector<double> numbers = detail::to_numbers(rounded.back());
      for (std::size_t i = 0; i < numbers.size(); ++i)
        require(std::isfinite(numbers[i]), "'", name, "' holds ", given->second[i], ", it must be finite in ",
                torch::toString(value.scalar_type()));
    });
    if (rounded.size() < scales.size())
      for (const auto& [name, scale] : scales) require(has_scale(name), "no branch has the scale '", name, "'");
    const torch::NoGradGuard no_grad;
    auto next = rounded.begin();
    for_each_scale([&](const std::string&, Tensor value) { value.copy_(*next++); });
  }

  /// The CSLA blocks with the current scales, by the kernels' names, for the RepOptimizer that trains after a search.
  /// Throws std::invalid_argument if a branch is filtered or a sequence.
  CslaBlocks csla_blocks() const {
    CslaBlocks blocks;
    for (std::size_t i = 0; i < kernels_.size(); ++i)
      blocks.emplace(kernel_names_[i], std::visit([](const auto& folded) { return folded.block(); }, kernels_[i]));
    return blocks;
  }

 private:
  static FoldedBlocks with_weights(FoldedBlocks folded, const CslaBlocks& blocks, const BranchWeights& weights) {
    for (const auto& [name, given] : weights)
      require(blocks.contains(name), "there are branch weights for '", name, "', but no block");
    for (auto& [name, block] : folded) {
      const auto given = weights.find(name);
      detail::require_branch_weights(name, blocks.at(name),
                                     given == weights.end() ? std::vector<Tensor>() : given->second);
      for (std::size_t i = 0; i < block.branches.size(); ++i) {
        FoldedBranch<double>& branch = block.branches[i];
        branch.operators[0].layout = WeightLayout::oihw;
        branch.convolution.shape.layout = WeightLayout::oihw;
        branch.initial_weights = {detail::to_numbers(given->second[i])};
      }
    }
    return folded;
  }

  void add_kernel(const std::string& name, const Tensor& kernel, FoldedBlock block) {
    for (FoldedBranch<double>& branch : block.branches)
      if (branch.initial_weights.empty())
        for (ConvShape& shape : branch.operators) {
          shape.layout = WeightLayout::oihw;
          branch.initial_weights.push_back(branch.convolution.is_identity
                                               ? std::vector<double>(shape.size(), 1)
                                               : detail::to_numbers(draw_weight(shape, kernel.options())));
        }
    if (kernel.scalar_type() == torch::kFloat)
      add_kernel_in<float>(name, kernel, block);
    else if (kernel.scalar_type() == torch::kDouble)
      add_kernel_in<double>(name, kernel, block);
    else
      require(false, "'", name, "' holds ", torch::toString(kernel.scalar_type()),
              ", folded training takes Float and Double");
  }

  template <class T>
  void add_kernel_in(const std::string& name, const Tensor& kernel, const FoldedBlock& block) {
    const std::size_t dot = name.rfind('.');
    const std::string layer = name.substr(0, dot == name.npos ? 0 : dot);
    std::vector<FoldedBranch<T>> branches;
    for (const FoldedBranch<double>& branch : block.branches)
      branches.push_back(detail::branch_in<T>(branch, layer, branches.size()));
    detail::FoldedTensor<T> folded(name, kernel, block.target, std::move(branches));
    for (const detail::FoldedTensorParam& param : folded.params())
      if (param.host_grad.defined()) add(param.name, param.value, param.decays);
    kernels_.emplace_back(std::move(folded));
    kernel_names_.push_back(name);
  }

  void add(const std::string& name, const Tensor& param, bool decays) {
    params_.insert(name, param);
    (decays ? decayed_ : others_).push_back(param);
  }

  /// Calls visit(name, value) for each convolution's scale and each identity's weight.
  void for_each_scale(auto visit) const {
    for (const auto& kernel : kernels_)
      std::visit(
          [&](const auto& folded) {
            for (const detail::FoldedTensorParam& param : folded.params())
              if (param.is_scale) visit(param.name, param.value);
          },
          kernel);
  }

  bool has_scale(const std::string& name) const {
    bool has = false;
    for_each_scale([&](const std::string& other, const Tensor&) { has = has || other == name; });
    return has;
  }

  std::vector<std::variant<detail::FoldedTensor<float>, detail::FoldedTensor<double>>> kernels_;
  std::vector<std::string> kernel_names_;
  torch::OrderedDict<std::string, Tensor> params_;
  std::vector<Tensor> decayed_, others_;
};

}  // namespace repopt::libtorch
