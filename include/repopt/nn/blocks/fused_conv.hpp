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

/// A convolution followed by an affine map for each channel, such as a batch norm in evaluation. The kernel is a view.
template <class T>
struct ConvAffine {
  ConvShape shape;            ///< shape of the convolution
  std::span<const T> weight;  ///< its kernel, in the layout of `shape`
  ChannelAffine<T> affine;    ///< the map of its outputs

  /// map(conv(x)), or bn(conv(x)) in evaluation.
  /// @{
  ConvAffine(const ConvShape& conv, std::span<const T> kernel, ChannelAffine<T> map)
      : shape(conv), weight(kernel), affine(std::move(map)) {}
  ConvAffine(const ConvShape& conv, std::span<const T> kernel, const BatchNorm2d<T>& bn)
      : ConvAffine(conv, kernel, bn.eval_affine()) {}
  /// @}
};

/// Returns sum_i affine_i(conv(x, W_i)) as one convolution of `shape`. The sum is a CSLA block whose scales are those
/// of the affine maps. Throws std::invalid_argument if a branch does not embed in `shape` or a scale is not finite.
template <class T>
FusedConv<T> fuse(const ConvShape& shape, const std::vector<ConvAffine<T>>& branches) {
  FusedConv<T> fused{shape, std::vector<T>(shape.size()), std::vector<T>(shape.out_channels)};
  std::vector<Branch<T>> scaled;
  std::vector<std::span<const T>> weights;
  for (const auto& [conv, weight, affine] : branches) {
    scaled.emplace_back(conv, std::vector<T>(affine.scale.begin(), affine.scale.end()));
    weights.push_back(weight);
    Eigen::Map<Vector<T>>(fused.bias.data(), affine.shift.size()) += affine.shift;
  }
  CslaBlock<T>(shape, std::move(scaled)).equivalent_kernel(weights, fused.weight);
  return fused;
}

}  // namespace repopt::nn
