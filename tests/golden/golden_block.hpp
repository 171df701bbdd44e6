// check_block: compares a CSLA block that stock PyTorch trained with the target kernel that RepOptimizer trains.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "golden/golden_file.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/loss.hpp"
#include "support/naive_conv.hpp"

namespace repopt::testing {

/// The metadata of a block. Its numbers are in the tensors.
struct BlockShapes {
  ConvShape target;
  std::vector<ConvShape> branches;
};

/// Returns a shape with padding = dilation * (kernel_size - 1) / 2, which golden files imply.
inline std::array<std::size_t, 2> centred_padding(const ConvShape& shape, const std::string& name) {
  std::array<std::size_t, 2> padding{};
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const std::size_t reach = shape.dilation[axis] * (shape.kernel_size[axis] - 1);
    if (reach % 2 != 0) throw std::runtime_error(name + " has no centre: [" + describe(shape) + "]");
    padding[axis] = reach / 2;
  }
  return padding;
}

inline ConvShape read_target(const GoldenFile& file) {
  Members recorded(file.json("target"), "target");
  auto dimensions = recorded.take<std::vector<std::size_t>>("shape");
  if (dimensions.size() == 2) dimensions.insert(dimensions.end(), {1, 1});  // a fully connected layer
  if (dimensions.size() != 4) throw std::runtime_error("target's shape has not 4 dimensions");
  ConvShape target;
  target.groups = recorded.take<std::size_t>("groups", 1);
  target.out_channels = dimensions[0];
  target.in_channels = dimensions[1] * target.groups;
  target.kernel_size = {dimensions[2], dimensions[3]};
  target.stride = recorded.take_pair("stride", {1, 1});
  target.dilation = recorded.take_pair("dilation", {1, 1});
  target.padding = centred_padding(target, "target");
  recorded.finish();
  return target;
}

inline BlockShapes read_shapes(const GoldenFile& file) {
  const ConvShape target = read_target(file);
  BlockShapes shapes{target, {}};
  for (const nlohmann::json& entry : file.json("branches")) {
    const std::string name = concat("branch.", shapes.branches.size());
    Members branch(entry, name);
    ConvShape& shape = shapes.branches.emplace_back(target);
    shape.kernel_size = branch.take_pair("kernel_size", {0, 0});
    if (shape.taps() == 0) throw std::runtime_error(name + " has no kernel_size");
    shape.groups = branch.take<std::size_t>("groups", 1);
    shape.stride = branch.take_pair("stride", target.stride);
    shape.dilation = branch.take_pair("dilation", {1, 1});
    shape.padding = centred_padding(shape, name);
    if (branch.has("init")) {
      const auto init = branch.take<double>("init");
      for (const double weight : file.data(name + ".init"))
        if (weight != init) throw std::runtime_error(name + ".init is not " + std::to_string(init) + " everywhere");
    }
    branch.finish();
  }
  return shapes;
}

inline Images<double> read_images(const GoldenFile& file, const std::string& name, std::size_t channels) {
  const GoldenTensor& x = file.tensor(name);
  auto dimensions = x.shape;
  if (dimensions.size() == 2) dimensions.insert(dimensions.end(), {1, 1});  // the input of a fully connected layer
  if (dimensions.size() != 4 || dimensions[1] != channels)
    throw std::runtime_error("tensor '" + name + "' is no batch of images with " + std::to_string(channels) +
                             " channels");
  return {dimensions[0], dimensions[1], dimensions[2], dimensions[3], x.data};
}

/// Trains the target kernel in the layouts of `shapes`, on gradients that this library computes, and compares it with
/// everything that was recorded.
template <class Rule>
Largest train_block(const GoldenFile& file, const BlockShapes& shapes, const typename Rule::Options& options,
                    double max_norm) {
  std::vector<Branch<double>> branches;
  std::vector<std::vector<double>> kernels;
  for (const ConvShape& shape : shapes.branches) {
    const std::string i = concat(branches.size());
    branches.emplace_back(shape, file.data("scale." + i));
    kernels.push_back(from_oihw(shape, file.data("branch." + i + ".init", shape.size())));
  }
  const ConvShape& target = shapes.target;
  const CslaBlock<double> block(target, branches);
  std::vector<double> weight(target.size()), grad(target.size());
  block.equivalent_kernel(std::vector<std::span<const double>>(kernels.begin(), kernels.end()), weight);

  Largest largest;
  const auto compare = [&](const std::string& name, const std::vector<double>& ours) {
    largest.add(name + ", " + to_string(target.layout), ours, file.data(name));
  };
  compare("kernel.init", to_oihw(target, weight));
  RepOptimizer<Rule, double> optimizer;
  optimizer.add_param_group(options).add_param("kernel", weight, grad, block);
  const auto iterations = file.value<std::size_t>("iterations");
  for (std::size_t t = 0; t < iterations; ++t) {
    const std::string step = concat(".", t);
    const Images<double> x = read_images(file, "x" + step, target.in_channels);
    Images<double> y = conv(target, x, to_oihw(target, weight));
    Loss<double> objective = loss(y.data);
    y.data = std::move(objective.grad);
    const std::vector<double> grad_oihw = conv_weight_grad(target, x, y);
    compare("loss" + step, {objective.value});
    compare("grad" + step, grad_oihw);
    std::ranges::copy(from_oihw(target, grad_oihw), grad.begin());
    if (max_norm > 0) optimizer.clip_grad_norm(max_norm);
    optimizer.step();
    compare("kernel" + step, to_oihw(target, weight));
  }
  compare("y.last", conv(target, read_images(file, "x.0", target.in_channels), to_oihw(target, weight)).data);
  return largest;
}

/// Checks a file of one block in every weight layout.
inline Largest check_block(const GoldenFile& file) {
  file.require_known_metadata({"target", "branches", "optimizer", "iterations", "loss"});
  if (file.text("loss") != "var_unbiased(y)+mean(y)^2") throw std::runtime_error("unknown loss: " + file.text("loss"));
  BlockShapes shapes = read_shapes(file);
  return with_reparameterizable_rule(
      file, [&]<class Rule>(Rule, const typename Rule::Options& options, double max_norm) {
        constexpr std::array layouts{WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio};
        Largest largest;
        for (std::size_t k = 0; k < layouts.size(); ++k) {
          shapes.target.layout = layouts[k];
          for (std::size_t i = 0; i < shapes.branches.size(); ++i)
            shapes.branches[i].layout = layouts[(i + k) % layouts.size()];
          largest.add(train_block<Rule>(file, shapes, options, max_norm));
        }
        return largest;
      });
}

}  // namespace repopt::testing
