// CSLA blocks in torch's archives: their shapes as one tensor, their scales as another.
#pragma once

#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/csla_block.hpp"

namespace repopt::libtorch {

/// Visits what a shape is made of, number by number: visit(std::size_t&), 11 times. Not the layout, which is the order
/// of weights in memory and a tensor's own business.
inline void visit_numbers(auto& shape, auto visit) {
  visit(shape.in_channels);
  visit(shape.out_channels);
  for (auto* pair : {&shape.kernel_size, &shape.padding, &shape.stride, &shape.dilation})
    for (auto& number : *pair) visit(number);
  visit(shape.groups);
}

/// Writes "shapes", int64 (1 + branches, 11), the target's first, and "scales", double (branches, out_channels).
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

/// Reads what write_block() wrote; layouts are oihw. Throws std::invalid_argument if it is no CSLA block, c10::Error if
/// something is missing.
inline CslaBlock<double> read_block(torch::serialize::InputArchive& archive) {
  torch::Tensor shapes, scales;
  archive.read("shapes", shapes);
  archive.read("scales", scales);
  require(shapes.dim() == 2 && shapes.size(1) == 11 && shapes.scalar_type() == torch::kLong && scales.dim() == 2 &&
              scales.size(0) == shapes.size(0) - 1 && scales.scalar_type() == torch::kDouble,
          "a saved CSLA block has ", shapes.dim(), "-D shapes and ", scales.dim(), "-D scales of wrong sizes or types");
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
  std::vector<Branch<double>> branches;
  for (std::int64_t i = 0; i < scales.size(0); ++i, scale += scales.size(1))
    branches.emplace_back(next_shape(), std::vector<double>(scale, scale + scales.size(1)));
  return {target, std::move(branches)};
}

/// `block` with the scales of `saved`. Throws std::invalid_argument, naming both, if a shape or the number of branches
/// differs.
inline CslaBlock<double> with_saved_scales(const CslaBlock<double>& block, const CslaBlock<double>& saved) {
  const auto require_equal = [](const char* what, const ConvShape& own, ConvShape other) {
    other.layout = own.layout;
    require(own == other, what, " is [", describe(own), "], saved is [", describe(other), "]");
  };
  require_equal("the target", block.target(), saved.target());
  require(block.branches().size() == saved.branches().size(), "there are ", block.branches().size(), " branches, ",
          saved.branches().size(), " are saved");
  std::vector<Branch<double>> branches = block.branches();
  for (std::size_t i = 0; i < branches.size(); ++i) {
    require_equal("a branch", branches[i].shape, saved.branches()[i].shape);
    branches[i].scale = saved.branches()[i].scale;
  }
  return {block.target(), std::move(branches)};
}

}  // namespace repopt::libtorch
