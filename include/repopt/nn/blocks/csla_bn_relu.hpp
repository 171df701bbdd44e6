// CslaBnRelu: the prior structure as a CSLA block, whose branches are computed and trained one by one.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/csla_conv2d.hpp"
#include "repopt/nn/layers/grad_scratch.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// A CslaConv2d, batch norm and ReLU. With trained scales it is the block of Hyper-Search.
template <class T>
class CslaBnRelu final : public Block<T> {
 public:
  CslaConv2d<T> conv;  ///< the branches
  BatchNorm2d<T> bn;   ///< after the addition of the branches; includes the ReLU

  /// `csla_conv` must already have its branches.
  explicit CslaBnRelu(CslaConv2d<T> csla_conv, std::size_t out_channels)
      : conv(std::move(csla_conv)), bn(out_channels, Activation::relu) {}

  LazyTensor<T> forward(const LazyTensor<T>& x, Phase phase) override {
    return bn.forward_lazily(conv.forward(x.evaluate(x_)), phase);
  }

  void backward(Tensor<T>& grad, GradScratch<T>& scratch) override {
    bn.backward(grad);
    conv.backward(grad, scratch);
  }

  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) override {
    conv.visit_parameters(prefix, visit);
    bn.visit_parameters(prefix + ".bn", visit);
  }

  void visit_batch_norms(const std::function<void(BatchNorm2d<T>&)>& visit) override { visit(bn); }

  std::optional<std::vector<T>> equivalent_kernel() const override { return conv.equivalent_kernel(); }

  FusedConv<T> fused() const override {
    const std::vector<T> kernel = conv.equivalent_kernel();
    return fuse<T>(conv.target(), {{conv.target(), kernel, bn}});
  }

 private:
  Tensor<T> x_;
};

}  // namespace repopt::nn
