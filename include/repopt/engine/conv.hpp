// The convolution engine: one function for each pass. Layers call these functions and nothing below them.
#pragma once

#include <cstddef>
#include <span>
#include <type_traits>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/adjoint_conv.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/conv_algorithm.hpp"
#include "repopt/engine/depthwise_conv.hpp"
#include "repopt/engine/gemm/gemm_conv.hpp"
#include "repopt/engine/scratch.hpp"
#include "repopt/engine/winograd/scheme.hpp"
#include "repopt/engine/winograd/winograd_conv.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// The shape of a convolution's output. Throws std::invalid_argument if the channels do not match or the images are too
/// small for the kernel.
inline ImageShape conv_output_shape(const ConvShape& shape, const ImageShape& x) {
  require(x.channels == shape.in_channels, "the images have ", x.channels, " channels, in_channels is ",
          shape.in_channels);
  const auto [height, width] = shape.output_size(x.height, x.width);
  return {x.batch, height, width, shape.out_channels};
}

/// Whether convolutions of T may use Winograd's method. It rounds more than the plain sums, in float by at most 1e-5 of
/// the largest element. Only float accepts that; double keeps its accuracy.
template <class T>
inline constexpr bool has_winograd = std::is_same_v<T, float>;

/// Whether ConvAlgorithm::fastest computes this convolution by Winograd's method.
template <class T>
constexpr bool is_winograd_faster(const ConvShape& shape) {
  constexpr std::size_t least = engine::blocking::winograd_least_channels;
  return has_winograd<T> && engine::is_winograd_shape(shape) && shape.in_channels >= least &&
         shape.out_channels >= least;
}

/// Throws std::invalid_argument unless shape.layout is HWIO and `size` is the number of weights of `shape`.
inline void require_kernel(const ConvShape& shape, std::size_t size) {
  require(shape.layout == WeightLayout::hwio && size == shape.size(), "the kernel must be HWIO and have ", shape.size(),
          " weights, it has ", size, " in ", to_string(shape.layout));
}

/// Throws std::invalid_argument unless grad_y has the shape of conv(x).
inline void require_output(const ConvShape& shape, const ImageShape& x, const ImageShape& grad_y) {
  const ImageShape y = conv_output_shape(shape, x);
  require(grad_y == y, "grad_y is ", describe(grad_y), ", the convolution's output is ", describe(y));
}

/// y = conv(x, weight); resizes `y`. `weight` is (kh, kw, in_channels / groups, out_channels), HWIO.
/// `input`, if given, is applied to every pixel of x as it is read: relu(scale * x + shift). The padding stays zero.
/// `moments`, if given, receives the mean and variance of each channel of y. Throws std::invalid_argument if a shape is
/// wrong.
template <class T>
void conv_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                  const InputAffine<T>* input = nullptr, ChannelMoments* moments = nullptr,
                  ConvAlgorithm algorithm = ConvAlgorithm::fastest) {
  require_kernel(shape, weight.size());
  y.resize(conv_output_shape(shape, x.shape()));
  if constexpr (has_winograd<T>)
    if (algorithm == ConvAlgorithm::fastest && is_winograd_faster<T>(shape))
      return shape.stride[0] == 1 ? engine::winograd_forward<engine::Stride1>(shape, x, weight, y, input, moments)
                                  : engine::winograd_forward<engine::Stride2>(shape, x, weight, y, input, moments);
  if (engine::is_depthwise(shape))
    engine::depthwise_forward(shape, x, weight, y, input, moments);
  else
    engine::gemm_forward(shape, x, weight, y, input, moments);
}

/// grad_x = dL/dx, where grad_y = dL/dy. `grad_x` must have the shape of x. Throws std::invalid_argument if a shape is
/// wrong.
template <class T>
void conv_backward_data(const ConvShape& shape, const Tensor<T>& grad_y, std::span<const T> weight, Tensor<T>& grad_x,
                        ConvAlgorithm algorithm = ConvAlgorithm::fastest) {
  require_kernel(shape, weight.size());
  require_output(shape, grad_x.shape(), grad_y.shape());
  if (engine::is_depthwise(shape)) return engine::depthwise_backward_data(shape, grad_y, weight, grad_x);
  const auto turned = [&] {
    const std::span<T> kernel(engine::scratch<engine::Scratch::turned_kernel, T>(weight.size()), weight.size());
    engine::turn_kernel(shape, weight, kernel);
    return std::span<const T>(kernel);
  };
  if (engine::has_adjoint(shape))
    return conv_forward<T>(engine::adjoint_shape(shape), grad_y, turned(), grad_x, nullptr, nullptr, algorithm);
  if constexpr (has_winograd<T>)
    if (algorithm == ConvAlgorithm::fastest && is_winograd_faster<T>(shape))
      return engine::winograd_forward<engine::Stride2Adjoint, T>(engine::swapped_channels(shape), grad_y, turned(),
                                                                 grad_x, nullptr, nullptr);
  engine::gemm_backward_data(shape, grad_y, weight, grad_x);
}

/// grad_weight += dL/dweight, where grad_y = dL/dy. `input` must be the one of the forward pass. The plain algorithm,
/// and Winograd's for small kernels, split the sum over the batch into one part for each thread, so the result's
/// rounding depends on the number of threads. No other result of the engine does. Throws std::invalid_argument if a
/// shape is wrong.
template <class T>
void conv_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y, std::span<T> grad_weight,
                          const InputAffine<T>* input = nullptr, ConvAlgorithm algorithm = ConvAlgorithm::fastest) {
  require_kernel(shape, grad_weight.size());
  require_output(shape, x.shape(), grad_y.shape());
  if constexpr (has_winograd<T>)
    if (algorithm == ConvAlgorithm::fastest && is_winograd_faster<T>(shape))
      return shape.stride[0] == 1
                 ? engine::winograd_backward_weight<engine::Stride1>(shape, x, grad_y, grad_weight, input)
                 : engine::winograd_backward_weight<engine::Stride2>(shape, x, grad_y, grad_weight, input);
  if (engine::is_depthwise(shape))
    engine::depthwise_backward_weight(shape, x, grad_y, grad_weight, input);
  else
    engine::gemm_backward_weight(shape, x, grad_y, grad_weight, input);
}

/// Lets a program of several files compile the engine only once; the engine takes most of the time to compile a file
/// with a network. Define REPOPT_EXTERN_ENGINE for all files, and in one of them include this header and write
/// REPOPT_INSTANTIATE_ENGINE(template, float); and the same for double.
#define REPOPT_INSTANTIATE_ENGINE(declaration, T)                                                              \
  declaration void repopt::nn::conv_forward<T>(                                                                \
      const repopt::ConvShape&, const repopt::nn::Tensor<T>&, std::span<const T>, repopt::nn::Tensor<T>&,      \
      const repopt::nn::InputAffine<T>*, repopt::nn::ChannelMoments*, repopt::nn::ConvAlgorithm);              \
  declaration void repopt::nn::conv_backward_data<T>(const repopt::ConvShape&, const repopt::nn::Tensor<T>&,   \
                                                     std::span<const T>, repopt::nn::Tensor<T>&,               \
                                                     repopt::nn::ConvAlgorithm);                               \
  declaration void repopt::nn::conv_backward_weight<T>(const repopt::ConvShape&, const repopt::nn::Tensor<T>&, \
                                                       const repopt::nn::Tensor<T>&, std::span<T>,             \
                                                       const repopt::nn::InputAffine<T>*, repopt::nn::ConvAlgorithm)

}  // namespace repopt::nn

#ifdef REPOPT_EXTERN_ENGINE
REPOPT_INSTANTIATE_ENGINE(extern template, float);
REPOPT_INSTANTIATE_ENGINE(extern template, double);
#endif
