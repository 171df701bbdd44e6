// FusedConv: one convolution with a bias that computes what a block computes in evaluation, before its ReLU.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// A convolution with a bias.
template <class T>
struct FusedConv {
  ConvShape shape;        ///< shape in the layout HWIO
  std::vector<T> weight;  ///< (kh, kw, in_channels / groups, out_channels)
  std::vector<T> bias;    ///< (out_channels)
};

/// A convolution followed by a batch norm, bn(conv(x)), as views.
template <class T>
struct ConvBn {
  ConvShape shape;            ///< shape of the convolution
  std::span<const T> weight;  ///< its kernel, in the layout of `shape`
  const BatchNorm2d<T>& bn;   ///< used in evaluation
};

/// Returns sum_i bn_i(conv(x, W_i)) as one convolution of `shape`. In evaluation a batch norm is an affine map, so the
/// sum is a CSLA block whose scales are the batch norms' scales. Throws std::invalid_argument if a branch does not
/// embed in `shape` or a batch norm's scale is not finite.
template <class T>
FusedConv<T> fuse(const ConvShape& shape, const std::vector<ConvBn<T>>& branches) {
  FusedConv<T> fused{shape, std::vector<T>(shape.size()), std::vector<T>(shape.out_channels)};
  std::vector<Branch<T>> scaled;
  std::vector<std::span<const T>> weights;
  for (const ConvBn<T>& branch : branches) {
    const ChannelAffine<T> affine = branch.bn.eval_affine();
    scaled.emplace_back(branch.shape, std::vector<T>(affine.scale.begin(), affine.scale.end()));
    weights.push_back(branch.weight);
    Eigen::Map<Vector<T>>(fused.bias.data(), affine.shift.size()) += affine.shift;
  }
  CslaBlock<T>(shape, std::move(scaled)).equivalent_kernel(weights, fused.weight);
  return fused;
}

}  // namespace repopt::nn
