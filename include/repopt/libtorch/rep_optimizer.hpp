// RepSgd and RepAdamW: torch::optim optimizers with a CSLA block for each kernel.
#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/libtorch/adamw.hpp"
#include "repopt/libtorch/dense_memory.hpp"
#include "repopt/libtorch/dense_tensor.hpp"
#include "repopt/libtorch/param.hpp"
#include "repopt/libtorch/sgd.hpp"
#include "repopt/libtorch/tensor_block.hpp"
#include "repopt/optim/state_matching.hpp"

namespace repopt::libtorch {

/// Parameters by name, as torch::nn::Module::named_parameters() gives them.
using NamedParams = torch::OrderedDict<std::string, Tensor>;

/// Gradient Re-parameterization for LibTorch: trains the plain kernels of a module as the CSLA blocks that they stand
/// for would train. It is a torch::optim::Optimizer: param_groups, zero_grad, closures, learning-rate schedulers,
/// torch::save and torch::load work as usual. Each step reads its options from the groups. step() changes weights and
/// never changes gradients; gradients must be dense. Kernels of float or double on the CPU that are contiguous or
/// channels_last take the fused loops of repopt/optim, in parallel if the program is built with OpenMP, which
/// repopt::libtorch links. All others take tensor operations on their devices. Both give the same result up to rounding
/// and share the state. As with torch::optim, move the module to its device and precision before you make its
/// optimizer.
///
///     const repopt::libtorch::CslaBlocks blocks{{"conv1.weight", block}};
///     repopt::libtorch::initialize(*model, blocks);
///     repopt::libtorch::RepSgd optimizer(*model, blocks, torch::optim::SGDOptions(0.1).momentum(0.9).nesterov(true));
///     ...
///     loss.backward();
///     optimizer.clip_grad_norm(5.0);
///     optimizer.step();
///
/// This class keeps the state by parameter name, so LibTorch's state(), which is by tensor, stays empty.
template <class Rule>
class RepOptimizer : public torch::optim::Optimizer {
 public:
  using Options = typename Rule::Options;  ///< the rule's options

  /// Parameters that share options.
  struct ParamGroup {
    NamedParams params{};              ///< by name
    std::optional<Options> options{};  ///< if empty, the optimizer's defaults
  };

  /// Takes all parameters that `module` has now, in one group. Throws what add_param_group() throws.
  RepOptimizer(const torch::nn::Module& module, const CslaBlocks& blocks, const Options& defaults)
      : RepOptimizer({{module.named_parameters()}}, blocks, defaults) {}

  /// Takes the parameters of all groups; a block may be for any of them. Throws what add_param_group() throws.
  RepOptimizer(const std::vector<ParamGroup>& groups, CslaBlocks blocks, const Options& defaults)
      : Optimizer(std::vector<torch::optim::OptimizerParamGroup>(), std::make_unique<Options>(defaults)) {
    Rule::validate(defaults);
    for (const ParamGroup& group : groups) {
      CslaBlocks of_group;
      for (const auto& param : group.params) of_group.insert(blocks.extract(param.key()));
      add_param_group(group, of_group);
    }
    if (!blocks.empty()) require(false, "there is a block for '", blocks.begin()->first, "', but no such parameter");
  }

  /// Adds a group. Throws std::invalid_argument, and changes nothing, if an option is out of range, if the optimizer
  /// already has a parameter or its name, if a block names no parameter of the group or does not fit its parameter, or
  /// if the square of a scale is not finite in the parameter's precision. Throws c10::Error for a tensor that
  /// torch::optim refuses, such as one that is not a leaf.
  void add_param_group(const ParamGroup& group, const CslaBlocks& blocks = {}) {
    const Options options = group.options ? *group.options : static_cast<const Options&>(defaults());
    Rule::validate(options);
    std::map<const void*, Param<Rule>> added;
    for (const auto& item : group.params) {
      const std::string& name = item.key();
      const Tensor& tensor = item.value();
      for (const auto& [other_tensor, other] : params_)
        require(name != other.name, "there is already a parameter '", name, "'");
      const auto block = blocks.find(name);
      if (block != blocks.end()) require_kernel(name, tensor, block->second.target());
      Param<Rule> param{name, block == blocks.end() ? TensorBlock(tensor.options())
                                                    : TensorBlock(name, block->second, tensor.options())};
      require(!params_.contains(key(tensor)) && added.emplace(key(tensor), std::move(param)).second, "the parameter '",
              name, "' is already there, under another name");
    }
    for (const auto& [name, block] : blocks)
      require(group.params.contains(name), "there is a block for '", name, "', but no such parameter");
    Optimizer::add_param_group({group.params.values(), std::make_unique<Options>(options)});
    params_.merge(added);
  }

  /// The blocks, with the scales in use, by parameter name.
  CslaBlocks csla_blocks() const {
    CslaBlocks blocks;
    for (const auto& [tensor, param] : params_)
      if (param.block.block()) blocks.emplace(param.name, *param.block.block());
    return blocks;
  }

  /// One iteration, as torch::optim::Optimizer::step(). A closure is called first, and its loss is returned. A clip
  /// coefficient counts for one step only.
  Tensor step(LossClosure closure = nullptr) override {
    const torch::NoGradGuard no_grad;
    Tensor loss;
    if (closure) {
      const torch::AutoGradMode enable_grad(true);
      loss = closure();
    }
    for_each_grad([this](const Tensor& weight, const Tensor& grad, Param<Rule>& param, const Options& options) {
      Rule::update(weight, grad, clip_coef_, param.block, param.state, options);
    });
    clip_coef_ = 1;
    return loss;
  }

  /// torch::nn::utils::clip_grad_norm_ for the CSLA model. The next step() scales gradients by min(1, max_norm / (norm
  /// + 1e-6)); the gradients themselves are not changed. Returns `norm`, the norm of all gradients of the CSLA model:
  /// under every rule a branch has the gradient s_i * (dL/dW')|_i. A NaN norm makes the coefficient NaN, as in torch.
  /// Throws std::invalid_argument unless max_norm > 0.
  double clip_grad_norm(double max_norm) {
    require(max_norm > 0, "max_norm must be > 0, it is ", max_norm);
    const torch::NoGradGuard no_grad;
    double dense_sum = 0;
    std::vector<Tensor> norms;
    for_each_grad([&](const Tensor& weight, const Tensor& grad, Param<Rule>& param, const Options&) {
      if (!visit_dense(weight, grad, param.block, [&](const auto& memory, const auto& stream) {
            dense_sum += csla_grad_norm_squared(memory.grad(), stream);
          }))
        param.block.for_each_branch(
            [&](const Tensor& s, auto at) { norms.push_back((s * at(grad)).norm(2, torch::kDouble)); });
    });
    norms.push_back(torch::tensor(std::sqrt(dense_sum), torch::kDouble));
    for (Tensor& norm : norms) norm = norm.to(norms.front().device());
    const double norm = torch::stack(norms).norm().item<double>(), coef = max_norm / (norm + 1e-6);
    clip_coef_ = coef > 1 ? 1 : coef;
    return norm;
  }

  /// Writes options, blocks with their scales, and the rule's state, by parameter name. torch::save() calls it. Weights
  /// and a waiting clip coefficient are not written.
  void save(torch::serialize::OutputArchive& archive) const override {
    archive.write("rule", std::string(Rule::name));
    archive.write("param_groups", std::int64_t(param_groups_.size()));
    std::size_t index = 0;  // names are values, because an archive's keys must not contain dots
    for (std::size_t group = 0; group < param_groups_.size(); ++group) {
      torch::serialize::OutputArchive options(archive.compilation_unit());
      static_cast<const Options&>(param_groups_[group].options()).serialize(options);
      archive.write(concat("options", group), options);
      for (const Tensor& tensor : param_groups_[group].params()) {
        torch::serialize::OutputArchive saved(archive.compilation_unit());
        write_param(saved, params_.at(key(tensor)), group);
        archive.write(concat("param", index++), saved);
      }
    }
    archive.write("params", std::int64_t(index));
  }

  /// Takes over options, scales and state. torch::load() calls it. Parameters are matched by name, and a waiting clip
  /// coefficient is dropped. Throws std::invalid_argument, and changes nothing, if the rule, the set of names, a
  /// parameter's group, a shape, a branch, or the size or type of a state differs, or if an option or scale is not
  /// valid. Throws c10::Error if something is missing in the archive.
  void load(torch::serialize::InputArchive& archive) override {
    std::vector<SavedParam> saved = open_params(archive);
    std::vector<ParamKey> own_keys, saved_keys;
    for (std::size_t group = 0; group < param_groups_.size(); ++group)
      for (const Tensor& tensor : param_groups_[group].params())
        own_keys.push_back({params_.at(key(tensor)).name, group});
    for (const SavedParam& param : saved) saved_keys.push_back({param.name, param.group});
    const std::vector<std::size_t> matches = match_params(own_keys, saved_keys);

    std::vector<Options> options;
    std::map<const void*, Param<Rule>> loaded;
    for (std::size_t group = 0; group < param_groups_.size(); ++group) {
      torch::serialize::InputArchive saved_options;
      archive.read(concat("options", group), saved_options);
      options.push_back(static_cast<const Options&>(param_groups_[group].options()));
      options.back().serialize(saved_options);
      Rule::validate(options.back());
      for (const Tensor& tensor : param_groups_[group].params()) {
        torch::serialize::InputArchive& match = saved[matches[loaded.size()]].archive;
        loaded.emplace(key(tensor), read_param(match, params_.at(key(tensor)), tensor));
      }
    }

    clip_coef_ = 1;
    for (std::size_t group = 0; group < param_groups_.size(); ++group)
      static_cast<Options&>(param_groups_[group].options()) = options[group];
    params_ = std::move(loaded);
  }

 private:
  using Optimizer::add_parameters;  // private, because parameters would come without names

  static const void* key(const Tensor& tensor) { return tensor.unsafeGetTensorImpl(); }

  /// Opens the archives of all parameters. Throws as load().
  std::vector<SavedParam> open_params(torch::serialize::InputArchive& archive) const {
    c10::IValue rule, groups, params;
    require(archive.try_read("rule", rule) && rule.isString(), "the archive holds no optimizer of repopt::libtorch");
    require(rule.toStringRef() == Rule::name, "the optimizer's rule is ", Rule::name, ", the saved one is ",
            rule.toStringRef());
    archive.read("param_groups", groups);
    archive.read("params", params);
    require(groups.toInt() == std::int64_t(param_groups_.size()), "the optimizer has ", param_groups_.size(),
            " param_groups, the saved state has ", groups.toInt());
    std::vector<SavedParam> saved;
    for (std::int64_t index = 0; index < params.toInt(); ++index) {
      torch::serialize::InputArchive param;
      archive.read(concat("param", index), param);
      saved.push_back(open_param(std::move(param)));
    }
    return saved;
  }

  /// Calls visit(weight, grad, param, options) for each parameter that has a gradient. The options are those of its
  /// group.
  void for_each_grad(auto visit) {
    detail::use_threads_of_libtorch();
    for (torch::optim::OptimizerParamGroup& group : param_groups_)
      for (const Tensor& tensor : group.params())
        if (tensor.grad().defined())
          visit(tensor, tensor.grad(), params_.at(key(tensor)), static_cast<const Options&>(group.options()));
  }

  std::map<const void*, Param<Rule>> params_;  ///< by key() of the tensors, which param_groups_ keeps alive
  double clip_coef_ = 1;                       ///< for the next step()
};

using RepSgd = RepOptimizer<Sgd>;      ///< SGD with Gradient Re-parameterization
using RepAdamW = RepOptimizer<AdamW>;  ///< AdamW with Gradient Re-parameterization

}  // namespace repopt::libtorch
