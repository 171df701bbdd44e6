// FoldedBranch: a branch that is linear in its input, and so amounts to one convolution that folds into the target's.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"

namespace repopt {

/// A branch of a FoldedKernel: y = s * conv(x, B), where B is made of the branch's trained weights:
///
/// | made by    | operators                                     | B                                               |
/// |------------|-----------------------------------------------|-------------------------------------------------|
/// | conv()     | W                                             | W                                               |
/// | filtered() | 1x1 W, then a fixed filter f for each channel | B[o,i,p] = f[o,p] W[o,i]                        |
/// | average()  | 1x1 W, then average pooling                   | B[o,i,p] = W[o,i] / (kh kw)                     |
/// | sequence() | V, then W, one of them 1x1                    | B[o,i,p] = sum_m W[o,m,p] V[m,i], or W[o,m] V[m,i,p]
/// |
///
/// What is not linear in its input, or not a function of the weights alone, cannot be written as a branch: batch norm,
/// dropout, an activation, a bias before zero padding, pooling that leaves the padding out of its mean.
template <std::floating_point T>
struct FoldedBranch {
  Branch<T> convolution;             ///< the shape of B, with the scale s; places B in the target
  std::vector<ConvShape> operators;  ///< of the trained weights: W, or V and W
  std::vector<T> filter{};           ///< f of filtered(), (out_channels, kh, kw); else empty
  bool trains_scale = false;         ///< whether s is trained; a trained scale does not decay
  /// Names of the weights, one for each operator, and of the scale. FoldedKernel numbers the branches that have none:
  /// "2.weight", or for a sequence "2.0.weight" and "2.1.weight", and "2.scale".
  /// @{
  std::vector<std::string> weight_names{};
  std::string scale_name{};
  /// @}
  /// Initial weights, one vector for each operator, in the layout of its shape. Without any an identity starts at 1 and
  /// all others at 0.
  std::vector<std::vector<T>> initial_weights{};

  /// Any branch of a CSLA block.
  static FoldedBranch conv(Branch<T> branch) {
    const ConvShape shape = branch.shape;
    return {std::move(branch), {shape}};
  }

  /// A trained 1x1 convolution W, (out_channels, in_channels / groups), then a fixed filter for each output channel,
  /// (out_channels, kh, kw): Sobel, Laplacian, a frequency. `branch` has the shape of both together: the filter's
  /// kernel size, padding, stride and dilation.
  static FoldedBranch filtered(Branch<T> branch, std::vector<T> filter) {
    ConvShape pointwise = branch.shape;
    pointwise.kernel_size = {1, 1};
    pointwise.padding = {0, 0};
    pointwise.dilation = {1, 1};
    return {std::move(branch), {pointwise}, std::move(filter)};
  }

  /// A trained 1x1 convolution, then average pooling over windows of the branch's kernel size, as
  /// torch.nn.AvgPool2d(count_include_pad=True): zeros of the padding count in the mean.
  static FoldedBranch average(Branch<T> branch) {
    const std::size_t taps = branch.shape.taps();
    std::vector<T> filter(branch.shape.out_channels * taps, T(1) / T(taps));
    return filtered(std::move(branch), std::move(filter));
  }

  /// Two trained convolutions without biases, one of which is 1x1: 1x1 then KxK, KxK then 1x1, depthwise then
  /// pointwise. Stride, padding and dilation are those of the KxK. `groups` are the target's; they must divide those of
  /// both convolutions. `scale` is a number or a range, as Branch takes it.
  static FoldedBranch sequence(const ConvShape& first, const ConvShape& second, auto&& scale, std::size_t groups = 1) {
    const bool first_is_pointwise = first.taps() == 1 && first.stride == std::array<std::size_t, 2>{1, 1};
    ConvShape both = first_is_pointwise ? second : first;
    both.in_channels = first.in_channels;
    both.out_channels = second.out_channels;
    both.groups = groups;
    both.layout = WeightLayout::hwio;
    return {Branch<T>(both, std::forward<decltype(scale)>(scale)), {first, second}};
  }

  /// Throws std::invalid_argument, whose message begins with `name`, unless the branch folds into `target`: a shape is
  /// impossible, B does not embed, a scale or filter is not finite or of the wrong length, a sequence is none.
  void validate(const ConvShape& target, std::string_view name) const;

 private:
  void validate_sequence(const ConvShape& target, std::string_view name) const;
};

template <std::floating_point T>
void FoldedBranch<T>::validate(const ConvShape& target, std::string_view name) const {
  const CslaBlock<T> embeds_and_has_scales(target, {convolution});
  for (const ConvShape& shape : operators) shape.validate();
  const std::size_t filter_size = convolution.shape.out_channels * convolution.shape.taps();
  require(filter.empty() || filter.size() == filter_size, name, ": the filter has ", filter.size(),
          " elements, out_channels * kernel_size is ", filter_size);
  for (const T f : filter) require(std::isfinite(f), name, ": the filter holds ", f, ", it must be finite");
  if (operators.size() == 2) validate_sequence(target, name);
  require(weight_names.empty() || weight_names.size() == operators.size(), name, " has ", operators.size(),
          " weights, ", weight_names.size(), " names were given");
  require(initial_weights.empty() || initial_weights.size() == operators.size(), name, " has ", operators.size(),
          " weights, ", initial_weights.size(), " initial ones were given");
  for (std::size_t i = 0; i < initial_weights.size(); ++i)
    require(initial_weights[i].size() == operators[i].size(), name, ": initial weight ", i, " has ",
            initial_weights[i].size(), " elements, [", describe(operators[i]), "] has ", operators[i].size());
}

template <std::floating_point T>
void FoldedBranch<T>::validate_sequence(const ConvShape& target, std::string_view name) const {
  const auto is_pointwise = [](const ConvShape& shape) {
    return shape.taps() == 1 && shape.padding == std::array<std::size_t, 2>{0, 0} &&
           shape.stride == std::array<std::size_t, 2>{1, 1};
  };
  const ConvShape &first = operators[0], &second = operators[1];
  require(first.out_channels == second.in_channels, name, ": the first convolution has ", first.out_channels,
          " output channels, the second has ", second.in_channels, " input channels");
  require(is_pointwise(first) || is_pointwise(second), name, ": of [", describe(first), "] and [", describe(second),
          "] one must be 1x1 with stride 1 and without padding: the zeros between two larger kernels are no zeros of "
          "the image");
  for (const ConvShape& shape : operators)
    require(shape.groups % target.groups == 0, name, ": the target's ", target.groups,
            " groups do not divide those of [", describe(shape), "]");
  require(convolution.shape.groups == target.groups, name, ": groups is ", convolution.shape.groups,
          ", the target's are ", target.groups);
}

}  // namespace repopt
