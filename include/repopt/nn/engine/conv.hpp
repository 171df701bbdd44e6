// The convolution engine: one function for each pass. Layers call these and nothing below them.
#pragma once

#include <cstddef>
#include <span>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/error.hpp"
#include "repopt/nn/channel_moments.hpp"
#include "repopt/nn/engine/depthwise_conv.hpp"
#include "repopt/nn/engine/gemm_conv.hpp"
#include "repopt/nn/engine/input_affine.hpp"
#include "repopt/nn/tensor.hpp"

namespace repopt::nn {

/// Shape of the output of a convolution. Throws std::invalid_argument if the channels do not match or the image is too
/// small for the kernel.
inline ImageShape conv_output_shape(const ConvShape& shape, const ImageShape& x) {
  require(x.channels == shape.in_channels, "the images have ", x.channels, " channels, in_channels is ",
          shape.in_channels);
  const auto [height, width] = shape.output_size(x.height, x.width);
  return {x.batch, height, width, shape.out_channels};
}

/// y = conv(x, weight); `y` is resized. `weight` is (kh, kw, in_channels / groups, out_channels), HWIO.
/// `input`, if given, is applied to every pixel of x on the way in: relu(scale * x + shift), the padding stays zero.
/// `moments`, if given, gets mean and variance of each channel of y.
template <class T>
void conv_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                  const InputAffine<T>* input = nullptr, ChannelMoments* moments = nullptr) {
  require(shape.layout == WeightLayout::hwio && weight.size() == shape.size(), "the kernel must be HWIO and have ",
          shape.size(), " weights, it has ", weight.size(), " in ", to_string(shape.layout));
  y.resize(conv_output_shape(shape, x.shape()));
  if (engine::is_depthwise(shape))
    engine::depthwise_forward(shape, x, weight, y, input, moments);
  else
    engine::gemm_forward(shape, x, weight, y, input, moments);
}

/// grad_x = dL/dx, for grad_y = dL/dy; `grad_x` must have the shape of x.
template <class T>
void conv_backward_data(const ConvShape& shape, const Tensor<T>& grad_y, std::span<const T> weight, Tensor<T>& grad_x) {
  if (engine::is_depthwise(shape))
    engine::depthwise_backward_data(shape, grad_y, weight, grad_x);
  else
    engine::gemm_backward_data(shape, grad_y, weight, grad_x);
}

/// grad_weight += dL/dweight. `input` as in the forward pass. The sum over the batch is cut into one part for each
/// thread, so its rounding, and nothing else in the engine, depends on their number.
template <class T>
void conv_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y, std::span<T> grad_weight,
                          const InputAffine<T>* input = nullptr) {
  if (engine::is_depthwise(shape))
    engine::depthwise_backward_weight(shape, x, grad_y, grad_weight, input);
  else
    engine::gemm_backward_weight(shape, x, grad_y, grad_weight, input);
}

}  // namespace repopt::nn
