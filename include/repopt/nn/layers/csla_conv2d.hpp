// CslaConv2d: the CSLA block itself, whose branches are computed and trained one by one.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/layers/scale.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Computes y = sum_i s_i * conv(x, W_i) branch by branch (arXiv 2205.15242, section 3). A target kernel with a
/// RepOptimizer imitates this layer. With trained scales it is a layer of Hyper-Search.
template <class T>
class CslaConv2d {
 public:
  /// A branch: a convolution followed by a scale. The identity has no convolution: its scale is its one trained
  /// operator.
  struct Branch {
    std::string conv_name;          ///< name of the convolution's parameters, e.g. "conv_1x1"; empty for the identity
    std::string scale_name;         ///< name of the scale's parameters, e.g. "scale_1x1"
    std::optional<Conv2d<T>> conv;  ///< empty for the identity
    Scale<T> scale;                 ///< follows the convolution
  };

  /// Makes a layer without branches. Its branches must embed in `target`.
  explicit CslaConv2d(const ConvShape& target) : target_(target) { target_.layout = WeightLayout::hwio; }

  /// Adds the branch conv(x, W) * scale. `trained` scales make the layer one of Hyper-Search. Throws
  /// std::invalid_argument if the branch does not embed, naming both shapes, or if the scale's length is wrong.
  void add_branch(std::string conv_name, std::string scale_name, const ConvShape& shape, std::vector<T> scale,
                  bool trained) {
    const CslaBlock<T> valid(target_, {{shape, scale}});
    branches_.push_back(
        {std::move(conv_name), std::move(scale_name), Conv2d<T>(shape), Scale<T>(std::move(scale), trained)});
    branches_.back().conv->requires_input_grad = requires_input_grad_;
    branches_.back().conv->weight.is_branch = true;
  }

  /// Adds an identity: a trained scale for each channel, which starts at `weight`. It decays like the kernels, because
  /// it is the weight of a branch.
  void add_identity(std::string name, std::vector<T> weight) {
    const CslaBlock<T> valid(target_, {repopt::Branch<T>::identity(weight.size())});
    branches_.push_back({{}, std::move(name), std::nullopt, Scale<T>(std::move(weight), true)});
    branches_.back().scale.weight.decays = true;
  }

  /// The target's shape in the layout HWIO, and the branches in the order of adding.
  /// @{
  const ConvShape& target() const { return target_; }
  std::vector<Branch>& branches() { return branches_; }
  /// @}

  /// The CSLA block of these branches with their current scales. A target kernel with this block trains like this
  /// layer.
  CslaBlock<T> block() const {
    std::vector<repopt::Branch<T>> branches;
    for (const Branch& branch : branches_)
      branches.push_back(branch.conv ? repopt::Branch<T>(branch.conv->shape(), branch.scale.weight.value)
                                     : repopt::Branch<T>::identity(target_.out_channels));
    return {target_, std::move(branches)};
  }

  /// The target kernel that computes the same as this layer, (kh, kw, in_channels / groups, out_channels).
  std::vector<T> equivalent_kernel() const {
    std::vector<std::span<const T>> weights;
    for (const Branch& branch : branches_)
      weights.push_back(branch.conv ? branch.conv->weight.value : branch.scale.weight.value);
    std::vector<T> kernel(target_.size());
    block().equivalent_kernel(weights, kernel);
    return kernel;
  }

  /// Sets whether backward() computes dL/dx, for all branches including those that are added later.
  void set_requires_input_grad(bool required) {
    requires_input_grad_ = required;
    for (Branch& branch : branches_)
      if (branch.conv) branch.conv->requires_input_grad = required;
  }

  /// Returns y. `x` must exist until backward(). Throws std::invalid_argument if there is no branch or the shape of x
  /// does not fit.
  const Tensor<T>& forward(const Tensor<T>& x) {
    require(!branches_.empty(), "a CSLA layer needs a branch");
    bool first = true;
    for (Branch& branch : branches_) {
      const Tensor<T>& part = branch.scale.forward(branch.conv ? branch.conv->forward(x) : x);
      y_.resize(part.shape());
      for_each_pixel(part, [&](std::size_t p) {
        if (first)
          y_.channels(p) = part.channels(p);
        else
          y_.channels(p) += part.channels(p);
      });
      first = false;
    }
    return y_;
  }

  /// Adds to the gradients of kernels and trained scales, and replaces dL/dy in `grad` by dL/dx. dL/dx is empty if it
  /// is not required. The convolutions' outputs are overwritten.
  void backward(Tensor<T>& grad, GradScratch<T>& scratch) {
    Tensor<T>& sum = scratch[0];  // a structured binding would not compile: Clang's OpenMP cannot capture one
    Tensor<T>& part = scratch[1];
    sum.resize({});
    for (Branch& branch : branches_) {
      Tensor<T>& of_scale = branch.scale.backward(grad, branch.conv ? branch.conv->output() : part);
      if (branch.conv) branch.conv->backward(of_scale, part);
      if (!requires_input_grad_) continue;
      if (sum.size() == 0)
        std::swap(sum, part);
      else
        for_each_pixel(part, [&](std::size_t p) { sum.channels(p) += part.channels(p); });
    }
    std::swap(grad, sum);
  }

  /// The same, in memory of this layer.
  Tensor<T>& backward(const Tensor<T>& grad_y) {
    grad_ = grad_y;
    backward(grad_, scratch_);
    return grad_;
  }

  /// Visits each branch's `prefix`.conv_name.weight and `prefix`.scale_name.weight.
  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) {
    for (Branch& branch : branches_) {
      if (branch.conv) branch.conv->visit_parameters(prefix + "." + branch.conv_name, visit);
      branch.scale.visit_parameters(prefix + "." + branch.scale_name, visit);
    }
  }

 private:
  ConvShape target_;
  std::vector<Branch> branches_;
  bool requires_input_grad_ = true;
  Tensor<T> y_, grad_;
  GradScratch<T> scratch_;
};

}  // namespace repopt::nn
