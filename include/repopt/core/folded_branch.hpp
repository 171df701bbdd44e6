// FoldedBranch: a branch that is linear in its input. It equals one convolution, which folds into the target's.
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

namespace repopt {

/// A branch of a FoldedKernel: y = s * conv(x, B). The kernel B is computed from the branch's trained weights:
///
/// | made by    | trained weights                                 | B                                      |
/// |------------|-------------------------------------------------|----------------------------------------|
/// | conv()     | W                                               | W                                      |
/// | filtered() | 1x1 W, before a fixed filter f for each channel | B[o,i,p] = f[o,p] W[o,i]               |
/// | average()  | 1x1 W, before average pooling                   | B[o,i,p] = W[o,i] / (kh kw)            |
/// | sequence() | 1x1 V, then W                                   | B[o,i,p] = sum over m: W[o,m,p] V[m,i] |
/// |            | V, then 1x1 W                                   | B[o,i,p] = sum over m: W[o,m] V[m,i,p] |
///
/// A branch must be linear in its input, and B must depend only on its weights. Therefore it cannot contain batch norm,
/// dropout, an activation, a bias before zero padding, or pooling that leaves the padding out of its mean.
template <std::floating_point T>
struct FoldedBranch {
  Branch<T> convolution;             ///< the shape of B and the scale s; it places B in the target
  std::vector<ConvShape> operators;  ///< shapes of the trained weights: W, or V and W
  std::vector<T> filter{};           ///< the filter f of filtered(), (out_channels, kh, kw); otherwise empty
  bool trains_scale = false;         ///< whether s is trained; a trained scale does not decay
  /// The names of the weights, one for each operator, and the name of the scale. If they are empty, FoldedKernel makes
  /// names from the branch's number: "2.weight", or "2.0.weight" and "2.1.weight" for a sequence, and "2.scale".
  /// @{
  std::vector<std::string> weight_names{};
  std::string scale_name{};
  /// @}
  /// The initial weights, one vector for each operator, in the layout of its shape. If there are none, an identity
  /// starts at 1 and all others at 0.
  std::vector<std::vector<T>> initial_weights{};

  /// A branch of a CSLA block, of any kind.
  static FoldedBranch conv(Branch<T> branch) {
    const ConvShape shape = branch.shape;
    return {std::move(branch), {shape}};
  }

  /// A trained 1x1 convolution W, (out_channels, in_channels / groups), followed by a fixed filter for each output
  /// channel, (out_channels, kh, kw), such as Sobel, Laplacian or a frequency. `branch` has the shape of both together,
  /// with the filter's kernel size, padding, stride and dilation. Throws std::invalid_argument if this shape is
  /// impossible or the filter has another length.
  static FoldedBranch filtered(Branch<T> branch, std::vector<T> filter) {
    branch.shape.validate();
    require_filter_size(branch.shape, filter.size(), "branch");
    const ConvShape weight = weight_before_filter(branch.shape);
    return {std::move(branch), {weight}, std::move(filter)};
  }

  /// A trained 1x1 convolution, followed by average pooling over windows of the branch's kernel size. As in
  /// torch.nn.AvgPool2d(count_include_pad=True), the zeros of the padding count in the mean. Throws
  /// std::invalid_argument if the shape is impossible.
  static FoldedBranch average(Branch<T> branch) {
    branch.shape.validate();
    const std::size_t taps = branch.shape.taps();
    std::vector<T> filter(branch.shape.out_channels * taps, T(1) / T(taps));
    return filtered(std::move(branch), std::move(filter));
  }

  /// Two trained convolutions without biases, one of which is 1x1: 1x1 then KxK, KxK then 1x1, or depthwise then
  /// pointwise. Stride, padding and dilation are those of the KxK. `groups` are the target's; they must divide the
  /// groups of both convolutions. `scale` is a number or a range, as in Branch's constructors. Throws
  /// std::invalid_argument if a shape is impossible.
  static FoldedBranch sequence(const ConvShape& first, const ConvShape& second, auto&& scale, std::size_t groups = 1) {
    first.validate();
    second.validate();
    const ConvShape both = shape_of_sequence(first, second, groups);
    both.validate();
    return {Branch<T>(both, std::forward<decltype(scale)>(scale)), {first, second}};
  }

  /// Throws std::invalid_argument if the branch does not fold into `target`: a shape is impossible, B does not embed or
  /// does not agree with the operators, a scale, its square or a filter is not finite, a scale or filter has the wrong
  /// length, or names or initial weights are given but not one for each operator. The message contains `name`.
  void validate(const ConvShape& target, std::string_view name) const;

 private:
  static bool is_pointwise(const ConvShape& shape) {
    constexpr std::array<std::size_t, 2> zero{0, 0}, one{1, 1};
    return shape.kernel_size == one && shape.padding == zero && shape.stride == one;
  }

  static ConvShape weight_before_filter(ConvShape both) {
    both.kernel_size = both.dilation = {1, 1};
    both.padding = {0, 0};
    return both;
  }

  /// Returns the shape of a sequence's B, which a FoldedSequence keeps in HWIO.
  static ConvShape shape_of_sequence(const ConvShape& first, const ConvShape& second, std::size_t groups) {
    ConvShape both = is_pointwise(first) ? second : first;
    both.in_channels = first.in_channels;
    both.out_channels = second.out_channels;
    both.groups = groups;
    both.layout = WeightLayout::hwio;
    return both;
  }

  static void require_filter_size(const ConvShape& shape, std::size_t size, std::string_view name) {
    require(size == shape.out_channels * shape.taps(), "the filter has ", size,
            " elements, out_channels * kernel_size is ", shape.out_channels * shape.taps(), "; ", name, " [",
            describe(shape), "]");
  }

  void validate_weight(std::string_view name) const;
  void validate_sequence(const ConvShape& target, std::string_view name) const;
};

template <std::floating_point T>
void FoldedBranch<T>::validate(const ConvShape& target, std::string_view name) const {
  target.validate();
  for (const ConvShape& shape : operators) shape.validate();
  require(operators.size() == 1 || operators.size() == 2, name, " has ", operators.size(),
          " operators: one makes a convolution or a filtered branch, two make a sequence");
  if (operators.size() == 2) validate_sequence(target, name);
  convolution.validate(target, name);
  if (operators.size() == 1) validate_weight(name);
  require(weight_names.empty() || weight_names.size() == operators.size(), name, " has ", operators.size(),
          " weights, ", weight_names.size(), " names were given");
  require(initial_weights.empty() || initial_weights.size() == operators.size(), name, " has ", operators.size(),
          " weights, ", initial_weights.size(), " initial ones were given");
  for (std::size_t i = 0; i < initial_weights.size(); ++i)
    require(initial_weights[i].size() == operators[i].size(), "initial weight ", i, " of ", name, " has ",
            initial_weights[i].size(), " elements, [", describe(operators[i]), "] has ", operators[i].size());
}

template <std::floating_point T>
void FoldedBranch<T>::validate_weight(std::string_view name) const {
  ConvShape expected = convolution.shape;
  if (!filter.empty()) {
    require_filter_size(convolution.shape, filter.size(), name);
    for (const T f : filter) require(std::isfinite(f), "the filter of ", name, " holds ", f, ", it must be finite");
    expected = weight_before_filter(convolution.shape);
    expected.layout = operators[0].layout;
  }
  require(operators[0] == expected, "the weight of ", name, " is [", describe(operators[0]), "], it must be [",
          describe(expected), "]");
}

template <std::floating_point T>
void FoldedBranch<T>::validate_sequence(const ConvShape& target, std::string_view name) const {
  const ConvShape &first = operators[0], &second = operators[1];
  require(filter.empty(), name, " is a sequence and has a filter: a sequence has none");
  require(first.out_channels == second.in_channels, name, ": the first convolution has ", first.out_channels,
          " output channels, the second has ", second.in_channels, " input channels");
  require(is_pointwise(first) || is_pointwise(second), name, ": [", describe(first), "] or [", describe(second),
          "] must be 1x1 with stride 1 and without padding: two larger kernels do not make one, since the second reads "
          "zeros of its own padding");
  for (const ConvShape& shape : operators)
    require(shape.groups % target.groups == 0, name, ": the target's ", target.groups,
            " groups do not divide those of [", describe(shape), "]");
  const ConvShape both = shape_of_sequence(first, second, target.groups);
  require(convolution.shape == both, name, " is said to be [", describe(convolution.shape),
          "], its two convolutions make [", describe(both), "]");
}

}  // namespace repopt
