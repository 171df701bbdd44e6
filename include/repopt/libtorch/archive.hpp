// Reads and writes CSLA blocks in LibTorch's archives: one tensor holds the shapes, another one the scales.
#pragma once

#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/libtorch/tensor_block.hpp"
#include "repopt/optim/state_matching.hpp"

namespace repopt::libtorch {

/// Calls visit(std::size_t&) for each of the 11 numbers of a shape. The layout is not among them, because a tensor's
/// strides say how its weights lie in memory.
inline void visit_numbers(auto& shape, auto visit) {
  visit(shape.in_channels);
  visit(shape.out_channels);
  for (auto* pair : {&shape.kernel_size, &shape.padding, &shape.stride, &shape.dilation})
    for (auto& number : *pair) visit(number);
  visit(shape.groups);
}

/// Writes two tensors: "shapes", int64 (1 + branches, 11), and "scales", double (branches, out_channels). The first row
/// of "shapes" is the target's shape.
inline void write_block(torch::serialize::OutputArchive& archive, const CslaBlock<double>& block) {
  std::vector<std::int64_t> shapes;
  std::vector<double> scales;
  const auto put = [&](std::size_t number) { shapes.push_back(std::int64_t(number)); };
  visit_numbers(block.target(), put);
  for (const Branch<double>& branch : block.branches()) {
    visit_numbers(branch.shape, put);
    scales.insert(scales.end(), branch.scale.begin(), branch.scale.end());
  }
  const std::int64_t branches = std::int64_t(block.branches().size());
  archive.write("shapes", torch::tensor(shapes, torch::kLong).view({1 + branches, -1}));
  archive.write("scales", torch::tensor(scales, torch::kDouble).view({branches, -1}));
}

/// Reads the tensors of write_block() and returns `block`, the block of parameter `name`, with the saved scales. Throws
/// std::invalid_argument, naming the parameter, if the target or a branch differs, or if a tensor's size or a scale is
/// not valid; c10::Error if a tensor is missing.
inline CslaBlock<double> read_scales(torch::serialize::InputArchive& archive, const std::string& name,
                                     const CslaBlock<double>& block) {
  torch::Tensor shapes, scales;
  archive.read("shapes", shapes);
  archive.read("scales", scales);
  require(shapes.dim() == 2 && shapes.size(1) == 11 && shapes.scalar_type() == torch::kLong && scales.dim() == 2 &&
              scales.size(0) == shapes.size(0) - 1 && scales.scalar_type() == torch::kDouble,
          "the saved block of '", name, "' has shapes of sizes ", describe_sizes(shapes.sizes()),
          " and scales of sizes ", describe_sizes(scales.sizes()),
          ", they must be (1 + branches, 11) of Long and (branches, out_channels) of Double");
  shapes = shapes.to(torch::kCPU).contiguous();
  scales = scales.to(torch::kCPU).contiguous();
  const std::int64_t* number = shapes.data_ptr<std::int64_t>();
  const double* scale = scales.data_ptr<double>();
  const auto next_shape = [&] {
    ConvShape shape;
    visit_numbers(shape, [&](std::size_t& member) { member = std::size_t(*number++); });
    return shape;
  };
  const ConvShape target = next_shape();
  require(same_convolution(target, block.target()), "'", name, "' is [", describe(block.target()), "], saved is [",
          describe(target), "]");
  require(scales.size(1) == std::int64_t(target.out_channels), "'", name, "' has ", target.out_channels,
          " out_channels, the saved scales are for ", scales.size(1));
  require(torch::isfinite(scales).all().item<bool>(), "a saved scale of '", name, "' is not finite");
  std::vector<Branch<double>> branches;
  for (std::int64_t i = 0; i < scales.size(0); ++i, scale += scales.size(1))
    branches.emplace_back(next_shape(), std::vector<double>(scale, scale + scales.size(1)));
  return with_saved_scales(name, block, branches);
}

}  // namespace repopt::libtorch
