// RepSgd and RepAdamW: torch::optim optimizers with a CSLA block for each kernel.
#pragma once

#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/libtorch/adamw.hpp"
#include "repopt/libtorch/archive.hpp"
#include "repopt/libtorch/sgd.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// Parameters by name, as torch::nn::Module::named_parameters() gives them.
using NamedParams = torch::OrderedDict<std::string, Tensor>;

/// Gradient Re-parameterization for LibTorch: trains a module's plain kernels with the dynamics of the CSLA blocks that
/// they stand for. A torch::optim::Optimizer: param_groups, zero_grad, closures, learning-rate schedulers, torch::save
/// and torch::load work as ever, and options are read from their group at every step. Weights are changed by step(),
/// gradients never. Tensor operations only, on the parameters' devices; gradients must be dense. As with torch::optim,
/// move the module to its device and precision before its optimizer is made.
///
///     const repopt::libtorch::CslaBlocks blocks{{"conv1.weight", block}};
///     repopt::libtorch::initialize(*model, blocks);
///     repopt::libtorch::RepSgd optimizer(*model, blocks, torch::optim::SGDOptions(0.1).momentum(0.9).nesterov(true));
///     ...
///     loss.backward();
///     optimizer.clip_grad_norm(5.0);
///     optimizer.step();
///
/// The state is kept by name, not by tensor: state() is empty.
template <class Rule>
class RepOptimizer : public torch::optim::Optimizer {
 public:
  using Options = typename Rule::Options;  ///< the rule's

  /// Parameters that share options.
  struct ParamGroup {
    NamedParams params{};              ///< by name
    std::optional<Options> options{};  ///< empty: the optimizer's defaults
  };

  /// Takes all parameters that `module` has now, in one group. Throws as add_param_group().
  RepOptimizer(const torch::nn::Module& module, const CslaBlocks& blocks, const Options& defaults)
      : RepOptimizer({{module.named_parameters()}}, blocks, defaults) {}

  /// Takes the parameters of all groups; a block may be for any of them. Throws as add_param_group().
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

  /// Adds a group. Throws std::invalid_argument, and changes nothing, if an option is out of range, a parameter or its
  /// name is there already, or a block names no parameter of the group or is for another shape; c10::Error for what
  /// torch::optim refuses, such as a tensor that is no leaf.
  void add_param_group(const ParamGroup& group, const CslaBlocks& blocks = {}) {
    const Options options = group.options ? *group.options : static_cast<const Options&>(defaults());
    Rule::validate(options);
    std::map<const void*, Param> added;
    for (const auto& item : group.params) {
      const std::string& name = item.key();
      const Tensor& tensor = item.value();
      for (const auto& [other_tensor, other] : params_)
        require(name != other.name, "there is already a parameter '", name, "'");
      const auto block = blocks.find(name);
      if (block != blocks.end()) require_kernel(name, tensor, block->second.target());
      Param param{name,
                  block == blocks.end() ? TensorBlock(tensor.options()) : TensorBlock(block->second, tensor.options())};
      require(!params_.contains(key(tensor)) && added.emplace(key(tensor), std::move(param)).second, "the parameter '",
              name, "' is there already, under another name");
    }
    for (const auto& [name, block] : blocks)
      require(group.params.contains(name), "there is a block for '", name, "', but no such parameter");
    Optimizer::add_param_group({group.params.values(), std::make_unique<Options>(options)});
    params_.merge(added);
  }

  /// The blocks in use, by parameter name.
  CslaBlocks csla_blocks() const {
    CslaBlocks blocks;
    for (const auto& [tensor, param] : params_)
      if (param.block.block()) blocks.emplace(param.name, *param.block.block());
    return blocks;
  }

  /// One iteration, as torch::optim::Optimizer::step(): with a closure it is called first, and its loss returned.
  /// Forgets the clip coefficient afterwards.
  Tensor step(LossClosure closure = nullptr) override {
    const torch::NoGradGuard no_grad;
    Tensor loss;
    if (closure) {
      const torch::AutoGradMode enable_grad(true);
      loss = closure();
    }
    for_each_grad([this](const Tensor& weight, const Tensor& grad, Param& param, const Options& options) {
      Rule::update(weight, clip_coef_ == 1 ? grad : grad * clip_coef_, param.block, param.state, options);
    });
    clip_coef_ = 1;
    return loss;
  }

  /// torch::nn::utils::clip_grad_norm_ for the CSLA model: the next step() scales gradients by min(1, max_norm / (norm
  /// + 1e-6)); they themselves are left alone. Returns `norm`, that of all gradients of the CSLA model: a branch's is
  /// s_i * (dL/dW')|_i, whatever the rule. A NaN norm makes the coefficient NaN, as in torch. Throws
  /// std::invalid_argument unless max_norm > 0.
  double clip_grad_norm(double max_norm) {
    require(max_norm > 0, "max_norm must be > 0, it is ", max_norm);
    const torch::NoGradGuard no_grad;
    std::vector<Tensor> norms{torch::zeros({}, torch::kDouble)};
    for_each_grad([&](const Tensor&, const Tensor& grad, Param& param, const Options&) {
      param.block.for_each_branch(
          [&](const Tensor& s, auto at) { norms.push_back((s * at(grad)).norm(2, torch::kDouble)); });
    });
    for (Tensor& norm : norms) norm = norm.to(norms.back().device());
    const double norm = torch::stack(norms).norm().item<double>(), coef = max_norm / (norm + 1e-6);
    clip_coef_ = coef > 1 ? 1 : coef;
    return norm;
  }

  /// Writes options, blocks with their scales, and the rule's state, by parameter name; torch::save() calls it. Weights
  /// and a waiting clip are not part of it.
  void save(torch::serialize::OutputArchive& archive) const override;

  /// Takes over options, scales and state; torch::load() calls it. Parameters are matched by name; a waiting clip is
  /// forgotten. Throws std::invalid_argument, and changes nothing, if the rule, the set of names, a parameter's group,
  /// a shape, a branch, or the size or type of a state differs, or an option or scale is not valid; c10::Error if
  /// something is missing in the archive.
  void load(torch::serialize::InputArchive& archive) override;

 private:
  using Optimizer::add_parameters;  // they would have no names

  struct Param {
    std::string name;
    TensorBlock block;
    typename Rule::State state{};
  };

  static const void* key(const Tensor& tensor) { return tensor.unsafeGetTensorImpl(); }

  Param load_param(const Tensor& tensor, std::size_t group, torch::serialize::InputArchive& saved) const;

  /// visit(weight, grad, param, options of its group) for each parameter that has a gradient.
  void for_each_grad(auto visit) {
    for (torch::optim::OptimizerParamGroup& group : param_groups_)
      for (const Tensor& tensor : group.params())
        if (tensor.grad().defined())
          visit(tensor, tensor.grad(), params_.at(key(tensor)), static_cast<const Options&>(group.options()));
  }

  std::map<const void*, Param> params_;  ///< by key() of the tensors in param_groups_, which keep those alive
  double clip_coef_ = 1;                 ///< of the next step()
};

using RepSgd = RepOptimizer<Sgd>;      ///< SGD with Gradient Re-parameterization
using RepAdamW = RepOptimizer<AdamW>;  ///< AdamW with Gradient Re-parameterization

template <class Rule>
void RepOptimizer<Rule>::save(torch::serialize::OutputArchive& archive) const {
  archive.write("rule", std::string(Rule::name));
  archive.write("param_groups", std::int64_t(param_groups_.size()));
  std::size_t index = 0;  // an archive's keys are not made for dots: names are values
  for (std::size_t group = 0; group < param_groups_.size(); ++group) {
    torch::serialize::OutputArchive options(archive.compilation_unit());
    static_cast<const Options&>(param_groups_[group].options()).serialize(options);
    archive.write(concat("options", group), options);
    for (const Tensor& tensor : param_groups_[group].params()) {
      const Param& param = params_.at(key(tensor));
      torch::serialize::OutputArchive saved(archive.compilation_unit()), state(archive.compilation_unit());
      saved.write("name", param.name);
      saved.write("group", std::int64_t(group));
      if (const auto& block = param.block.block()) write_block(saved, *block);
      param.state.serialize(state);
      saved.write("state", state);
      archive.write(concat("param", index++), saved);
    }
  }
  archive.write("params", std::int64_t(index));
}

template <class Rule>
auto RepOptimizer<Rule>::load_param(const Tensor& tensor, std::size_t group,
                                    torch::serialize::InputArchive& saved) const -> Param {
  const Param& own = params_.at(key(tensor));
  Param loaded{own.name, own.block};
  c10::IValue saved_group;
  saved.read("group", saved_group);
  require(saved_group.toInt() == std::int64_t(group), "it is in param_group ", group, ", saved in ",
          saved_group.toInt());
  if (torch::Tensor shapes; saved.try_read("shapes", shapes) != own.block.block().has_value())
    require(false, own.block.block() ? "it has a CSLA block, saved is none" : "it has no CSLA block, saved is one");
  if (const auto& block = own.block.block())
    loaded.block = {with_saved_scales(*block, read_block(saved)), tensor.options()};

  torch::serialize::InputArchive state;
  saved.read("state", state);
  loaded.state.serialize(state);
  if constexpr (requires { Rule::validate_state(loaded.state); }) Rule::validate_state(loaded.state);
  Rule::visit_buffers(loaded.state, [&](const char* name, Tensor& buffer) {
    if (!buffer.defined()) return;
    require(buffer.sizes() == tensor.sizes(), name, " has sizes ", describe_sizes(tensor.sizes()), ", saved are ",
            describe_sizes(buffer.sizes()));
    require(buffer.scalar_type() == tensor.scalar_type(), name, " is of ", torch::toString(tensor.scalar_type()),
            ", saved is ", torch::toString(buffer.scalar_type()));
    buffer = buffer.to(tensor.device());
  });
  return loaded;
}

template <class Rule>
void RepOptimizer<Rule>::load(torch::serialize::InputArchive& archive) {
  c10::IValue rule, groups, params;
  require(archive.try_read("rule", rule) && rule.isString(), "the archive holds no optimizer of repopt::libtorch");
  require(rule.toStringRef() == Rule::name, "the optimizer's rule is ", Rule::name, ", the saved one is ",
          rule.toStringRef());
  archive.read("param_groups", groups);
  archive.read("params", params);
  require(groups.toInt() == std::int64_t(param_groups_.size()), "the optimizer has ", param_groups_.size(),
          " param_groups, the saved state has ", groups.toInt());

  std::map<std::string, torch::serialize::InputArchive> by_name;
  for (std::int64_t index = 0; index < params.toInt(); ++index) {
    torch::serialize::InputArchive saved;
    c10::IValue name;
    archive.read(concat("param", index), saved);
    saved.read("name", name);
    const bool is_new = by_name.emplace(name.toStringRef(), std::move(saved)).second;
    require(is_new, "the saved state holds '", name.toStringRef(), "' twice");
  }

  std::vector<Options> options;
  std::map<const void*, Param> loaded;
  for (std::size_t group = 0; group < param_groups_.size(); ++group) {
    torch::serialize::InputArchive saved_options;
    archive.read(concat("options", group), saved_options);
    options.push_back(static_cast<const Options&>(param_groups_[group].options()));
    options.back().serialize(saved_options);
    Rule::validate(options.back());
    for (const Tensor& tensor : param_groups_[group].params()) {
      const std::string& name = params_.at(key(tensor)).name;
      const auto saved = by_name.find(name);
      require(saved != by_name.end(), "the saved state lacks '", name, "'");
      try {
        loaded.emplace(key(tensor), load_param(tensor, group, saved->second));
      } catch (const std::invalid_argument& error) {
        require(false, "saved state of '", name, "': ", error.what());
      }
      by_name.erase(saved);
    }
  }
  if (!by_name.empty()) require(false, "the optimizer lacks '", by_name.begin()->first, "' of the saved state");

  clip_coef_ = 1;  // a clip that waited was for another state
  for (std::size_t group = 0; group < param_groups_.size(); ++group)
    static_cast<Options&>(param_groups_[group].options()) = options[group];
  params_ = std::move(loaded);
}

}  // namespace repopt::libtorch
