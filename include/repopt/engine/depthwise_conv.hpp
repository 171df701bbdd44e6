// The depthwise convolution: each channel is convolved by itself, so a tap is one multiply-add for all channels of a
// pixel.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <span>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/taps.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/simd.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Whether each input channel is convolved by itself into one output channel.
constexpr bool is_depthwise(const ConvShape& shape) {
  return shape.groups == shape.in_channels && shape.groups == shape.out_channels;
}

/// Calls visit(out, tap, in) for each of the output pixels [first, first + count) and each tap that lies inside the
/// image. `out` and `in` are the indices of the output pixel and of the input pixel under the tap.
void for_each_pixel_pair(const ConvShape& shape, const ImageShape& x, const ImageShape& y, std::size_t first,
                         std::size_t count, auto visit) {
  for_each_tap(
      shape, x, y, first, count,
      [&](std::size_t patch, std::size_t tap, std::size_t in) { visit(first + patch, tap, in); },
      [](std::size_t, std::size_t, std::size_t) {});
}

/// to[c] += factor[c] * x[c] for every channel c. `input`, if given, is applied to x first.
template <class T>
void add_products(const T* factor, const T* x, const InputAffine<T>* input, T* to, std::size_t channels) {
  namespace packet = Eigen::internal;
  for_each_packet<T>(channels, [&]<class Packet>(std::size_t c) {
    Packet value = packet::ploadu<Packet>(x + c);
    if (input) value = input->template of_packet<Packet>(c)(value);
    packet::pstoreu(to + c, packet::pmadd(packet::ploadu<Packet>(factor + c), value, packet::ploadu<Packet>(to + c)));
  });
}

/// conv_forward() for a depthwise shape. `input` and `moments` may be null.
template <class T>
void depthwise_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                       const InputAffine<T>* input, ChannelMoments* moments) {
  const std::size_t channels = shape.out_channels;
  const PixelBlocks blocks(0, y.shape().pixels(), blocking::depthwise_block_pixels);
  const BlockMoments block_moments(moments, blocks.count());
  parallel_for(blocks.count(), y.size() * shape.taps(), [&](std::size_t block) {
    const std::size_t first = blocks.first(block), count = blocks.size(block);
    std::fill_n(y.pixel(first), count * channels, T(0));
    for_each_pixel_pair(shape, x.shape(), y.shape(), first, count,
                        [&](std::size_t out, std::size_t tap, std::size_t in) {
                          add_products(weight.data() + tap * channels, x.pixel(in), input, y.pixel(out), channels);
                        });
    block_moments.measure(block, y.pixel(first), count, channels);
  });
  block_moments.merge();
}

/// conv_backward_data() for a depthwise shape. Output pixels of an image share input pixels, so each
/// thread takes whole images.
template <class T>
void depthwise_backward_data(const ConvShape& shape, const Tensor<T>& grad_y, std::span<const T> weight,
                             Tensor<T>& grad_x) {
  const ImageShape &x = grad_x.shape(), &y = grad_y.shape();
  const std::size_t channels = shape.out_channels;
  parallel_for(x.batch, grad_y.size() * shape.taps(), [&](std::size_t image) {
    std::fill_n(grad_x.pixel(image * x.height * x.width), x.height * x.width * channels, T(0));
    for_each_pixel_pair(shape, x, y, image * y.height * y.width, y.height * y.width,
                        [&](std::size_t out, std::size_t tap, std::size_t in) {
                          add_products<T>(weight.data() + tap * channels, grad_y.pixel(out), nullptr, grad_x.pixel(in),
                                          channels);
                        });
  });
}

/// conv_backward_weight() for a depthwise shape: each thread sums over blocks of pixels of its own.
template <class T>
void depthwise_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y,
                               std::span<T> grad_weight, const InputAffine<T>* input) {
  const std::size_t channels = shape.out_channels;
  const PixelBlocks blocks(0, grad_y.shape().pixels(), blocking::depthwise_block_pixels);
  sum_in_parts<T>(blocks.count(), grad_y.size() * shape.taps(), grad_weight, [&](std::size_t block, std::span<T> part) {
    for_each_pixel_pair(shape, x.shape(), grad_y.shape(), blocks.first(block), blocks.size(block),
                        [&](std::size_t out, std::size_t tap, std::size_t in) {
                          add_products(grad_y.pixel(out), x.pixel(in), input, part.data() + tap * channels, channels);
                        });
  });
}

}  // namespace repopt::nn::engine
