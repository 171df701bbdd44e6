// check_folded: compares a block of real branches that stock PyTorch trained with its one kernel, trained folded.
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "golden/golden_block.hpp"
#include "golden/golden_file.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/loss.hpp"
#include "support/naive_conv.hpp"

namespace repopt::testing {

/// A recorded branch and the shapes of its weights, with their layouts.
class RecordedBranch {
 public:
  RecordedBranch(const GoldenFile& file, const nlohmann::json& entry, std::size_t index, const ConvShape& target)
      : file_(file), name_(concat("branch.", index)), index_(index), target_(target), entry_(entry, name_) {}

  /// Returns the branch with its initial weights, in `layout`, and its initial scale.
  FoldedBranch<double> read(WeightLayout layout) {
    const auto type = entry_.take<std::string>("type");
    FoldedBranch<double> branch = type == "conv"       ? read_conv(layout)
                                  : type == "filtered" ? read_filtered(layout)
                                  : type == "sequence"
                                      ? read_sequence(layout)
                                      : throw std::runtime_error("unknown type '" + type + "' of " + name_);
    branch.trains_scale = entry_.take<bool>("scale_trained");
    entry_.finish();
    for (std::size_t k = 0; k < branch.operators.size(); ++k) {
      const std::string weight = branch.operators.size() == 1 ? name_ : concat(name_, ".", k);
      branch.initial_weights.push_back(
          from_oihw(branch.operators[k], file_.data(weight + ".init", branch.operators[k].size())));
    }
    return branch;
  }

 private:
  /// Returns the target's shape with another kernel size, dilation and number of groups, around the same centre.
  ConvShape shape(Members& entry, const char* kernel_size, WeightLayout layout) const {
    ConvShape result = target_;
    result.kernel_size = entry.take_pair(kernel_size, {0, 0});
    if (result.taps() == 0) throw std::runtime_error(name_ + " lacks '" + kernel_size + "'");
    result.groups = entry.take<std::size_t>("groups", target_.groups);
    result.dilation = entry.take_pair("dilation", {1, 1});
    result.padding = centred_padding(result, name_);
    result.layout = layout;
    return result;
  }

  std::vector<double> scale() const { return file_.data(concat("scale.", index_, ".init"), target_.out_channels); }

  FoldedBranch<double> read_conv(WeightLayout layout) {
    const ConvShape conv = shape(entry_, "kernel_size", layout);
    return FoldedBranch<double>::conv({conv, scale()});
  }

  FoldedBranch<double> read_filtered(WeightLayout layout) {
    const ConvShape both = shape(entry_, "filter_size", layout);
    if (entry_.take("average", false)) return FoldedBranch<double>::average({both, scale()});
    return FoldedBranch<double>::filtered({both, scale()},
                                          file_.data(concat("filter.", index_), both.out_channels * both.taps()));
  }

  FoldedBranch<double> read_sequence(WeightLayout layout) {
    const auto mid_channels = entry_.take<std::size_t>("mid_channels");
    Members first_entry(entry_.take<nlohmann::json>("first"), name_ + ".first");
    Members second_entry(entry_.take<nlohmann::json>("second"), name_ + ".second");
    ConvShape first = shape(first_entry, "kernel_size", layout), second = shape(second_entry, "kernel_size", layout);
    first.out_channels = second.in_channels = mid_channels;
    (first.taps() == 1 ? first : second).stride = {1, 1};
    first_entry.finish();
    second_entry.finish();
    return FoldedBranch<double>::sequence(first, second, scale(), target_.groups);
  }

  const GoldenFile& file_;
  std::string name_;
  std::size_t index_;
  ConvShape target_;
  Members entry_;
};

/// Trains the folded kernel on gradients that this library computes, and compares it with everything that was recorded.
template <class Rule>
Largest train_folded(const GoldenFile& file, const ConvShape& target, std::vector<FoldedBranch<double>> branches,
                     const typename Rule::Options& options, double max_norm) {
  const std::size_t count = branches.size();
  FoldedKernel<double> folded(target, std::move(branches));
  std::vector<double> kernel(target.size());
  Largest largest;
  const auto compare = [&](const std::string& name, const std::vector<double>& ours) {
    largest.add(name + ", " + to_string(target.layout), ours, file.data(name));
  };
  auto scale_options = options;
  scale_options.weight_decay = 0;
  RepOptimizer<Rule, double> optimizer;
  auto& decayed = optimizer.add_param_group(options);
  auto& others = optimizer.add_param_group(scale_options);
  folded.visit_parameters([&](const std::string& name, auto value, auto grad, bool decays) {
    (decays ? decayed : others).add_param(name, value, grad);
  });

  folded.fold(kernel);
  compare("kernel.init", to_oihw(target, kernel));
  const auto iterations = file.value<std::size_t>("iterations");
  for (std::size_t t = 0; t < iterations; ++t) {
    const std::string step = concat(".", t);
    const Images<double> x = read_images(file, "x" + step, target.in_channels);
    Images<double> y = conv(target, x, to_oihw(target, kernel));
    Loss<double> objective = loss(y.data);
    y.data = std::move(objective.grad);
    const std::vector<double> grad_oihw = conv_weight_grad(target, x, y);
    compare("loss" + step, {objective.value});
    compare("grad" + step, grad_oihw);
    folded.zero_grad();
    folded.add_gradients(from_oihw(target, grad_oihw));
    if (max_norm > 0) optimizer.clip_grad_norm(max_norm);
    optimizer.step();
    folded.fold(kernel);
    compare("kernel" + step, to_oihw(target, kernel));
  }
  compare("y.last", conv(target, read_images(file, "x.0", target.in_channels), to_oihw(target, kernel)).data);
  std::size_t branch = 0, weight = 0, weights = 0;
  for (const auto& parameter : folded.parameters()) {
    const std::vector<double> value(parameter.value.begin(), parameter.value.end());
    if (parameter.shape) {
      ++weights;
      const std::string name = concat("branch.", branch, ".");
      const std::string with_index = concat(name, weight, ".final");
      compare(file.has_tensor(with_index) ? with_index : name + "final", to_oihw(*parameter.shape, value));
      ++weight;
    } else {
      compare(concat("scale.", branch, ".final"), value);
      ++branch;
      weight = 0;
    }
  }
  if (branch != count || weights < count) throw std::runtime_error("parameters are missing");
  return largest;
}

/// Checks a file of real branches in every weight layout.
inline Largest check_folded(const GoldenFile& file) {
  file.require_known_metadata({"kind", "target", "branches", "optimizer", "iterations", "loss"});
  if (file.text("loss") != "var_unbiased(y)+mean(y)^2") throw std::runtime_error("unknown loss: " + file.text("loss"));
  return with_rule(file, [&]<class Rule>(Rule, const typename Rule::Options& options, double max_norm) {
    constexpr std::array layouts{WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio};
    Largest largest;
    for (const WeightLayout of_target : layouts)
      for (const WeightLayout of_branches : layouts) {
        ConvShape target = read_target(file);
        target.layout = of_target;
        std::vector<FoldedBranch<double>> branches;
        for (const nlohmann::json& entry : file.json("branches"))
          branches.push_back(RecordedBranch(file, entry, branches.size(), target).read(of_branches));
        largest.add(train_folded<Rule>(file, target, std::move(branches), options, max_norm));
      }
    return largest;
  });
}

}  // namespace repopt::testing
