// The plain convolution: patches of the image, as rows of a matrix (im2col), times the kernel. It computes every shape,
// stride, dilation and number of groups, and the faster ways are tested against it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/blocking.hpp"
#include "repopt/engine/gemm/gemm.hpp"
#include "repopt/engine/scratch.hpp"
#include "repopt/engine/taps.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Whether a patch is a pixel of the image, so that no patches need to be gathered.
constexpr bool is_pointwise(const ConvShape& shape) {
  return shape.taps() == 1 && shape.stride == std::array<std::size_t, 2>{1, 1} &&
         shape.padding == std::array<std::size_t, 2>{0, 0};
}

/// The patches of output pixels [first, first + count) for one group, as a matrix (count, taps * in_channels / groups):
/// gathered in the thread's working memory or, if a patch is a pixel and `input` is null, the image itself. `input`, if
/// given, is applied to the pixels; taps outside the image are 0.
template <class T>
Strided<const T> patches(const ConvShape& shape, const Tensor<T>& x, const ImageShape& y, std::size_t group,
                         std::size_t first, std::size_t count, const InputAffine<T>* input) {
  const std::size_t channels = shape.in_per_group(), length = shape.taps() * channels, offset = group * channels;
  if (is_pointwise(shape) && !input) return {x.pixel(first) + offset, x.shape().channels, 1};
  T* const rows = scratch<Scratch::patches, T>(count * length);
  const bool is_whole_pixel = channels == x.shape().channels;
  for_each_tap_run(
      shape, x.shape(), y, first, count,
      [&](std::size_t patch, std::size_t tap, std::size_t pixel, std::size_t taps) {
        T* const to = rows + patch * length + tap * channels;
        if (!input && is_whole_pixel) {
          std::copy_n(x.pixel(pixel), taps * channels, to);
          return;
        }
        for (std::size_t k = 0; k < taps; ++k) {
          const T* const from = x.pixel(pixel + k) + offset;
          if (input)
            input->apply(from, to + k * channels, offset, channels);
          else
            std::copy_n(from, channels, to + k * channels);
        }
      },
      [&](std::size_t patch, std::size_t tap_begin, std::size_t tap_end) {
        std::fill(rows + patch * length + tap_begin * channels, rows + patch * length + tap_end * channels, T(0));
      });
  return {rows, length, 1};
}

/// The same patches in strips of columns, which backward weight reads if patches are long.
template <class T>
Strips<T> patch_strips(const ConvShape& shape, const Tensor<T>& x, const ImageShape& y, std::size_t group,
                       std::size_t first, std::size_t count, const InputAffine<T>* input) {
  const std::size_t channels = shape.in_per_group(), length = shape.taps() * channels, offset = group * channels;
  const Strips<T> strips{scratch<Scratch::patches, T>(Strips<T>::size(count, length)), count, length};
  for_each_tap(
      shape, x.shape(), y, first, count,
      [&](std::size_t patch, std::size_t tap, std::size_t pixel) {
        const T* const from = x.pixel(pixel) + offset;
        strips.for_each_piece(patch, tap * channels, channels, [&](T* to, std::size_t done, std::size_t size) {
          if (input)
            input->apply(from + done, to, offset + done, size);
          else
            std::copy_n(from + done, size, to);
        });
      },
      [&](std::size_t patch, std::size_t tap_begin, std::size_t tap_end) {
        strips.for_each_piece(patch, tap_begin * channels, (tap_end - tap_begin) * channels,
                              [](T* to, std::size_t, std::size_t size) { std::fill_n(to, size, T(0)); });
      });
  return strips;
}

/// The kernel of one group as a matrix (taps * in_channels / groups, out_channels / groups).
template <class T>
Strided<T> group_kernel(const ConvShape& shape, T* weight, std::size_t group) {
  return {weight + group * shape.out_per_group(), shape.out_channels, 1};
}

/// The kernels of all groups in panels, each as group_kernel() or, if `transposed`, its transpose.
template <class T>
class KernelPanels {
 public:
  KernelPanels(const ConvShape& shape, std::span<const T> weight, bool transposed)
      : depth_(shape.taps() * shape.in_per_group()), columns_(shape.out_per_group()) {
    if (transposed) std::swap(depth_, columns_);
    data_ = scratch<Scratch::packed_kernel, T>(shape.groups * Panels<T>::size(depth_, columns_));
    for (std::size_t group = 0; group < shape.groups; ++group) {
      const Strided<const T> kernel = group_kernel(shape, weight.data(), group);
      (*this)[group].pack(transposed ? kernel.transposed() : kernel);
    }
  }

  Panels<T> operator[](std::size_t group) const {
    return {data_ + group * Panels<T>::size(depth_, columns_), depth_, columns_};
  }

 private:
  std::size_t depth_, columns_;
  T* data_;
};

/// conv_forward() for every shape. `input` and `moments` may be null.
template <class T>
void gemm_forward(const ConvShape& shape, const Tensor<T>& x, std::span<const T> weight, Tensor<T>& y,
                  const InputAffine<T>* input, ChannelMoments* moments) {
  const KernelPanels<T> kernels(shape, weight, false);
  const PixelBlocks blocks(0, y.shape().pixels(), blocking::patches_per_block<T>(shape));
  const BlockMoments block_moments(moments, blocks.count());
  parallel_for(blocks.count(), y.size() * shape.taps() * shape.in_per_group(), [&](std::size_t block) {
    const std::size_t first = blocks.first(block), count = blocks.size(block);
    for (std::size_t group = 0; group < shape.groups; ++group)
      multiply(patches(shape, x, y.shape(), group, first, count, input), count, kernels[group],
               Product<T>::row_major(y.pixel(first) + group * shape.out_per_group(), shape.out_channels), false);
    block_moments.measure(block, y.pixel(first), count, shape.out_channels);
  });
  block_moments.merge();
}

/// conv_backward_data() for every shape: adds the gradient of each patch to the pixels that it covers. Patches of an
/// image overlap, so each thread takes whole images.
template <class T>
void gemm_backward_data(const ConvShape& shape, const Tensor<T>& grad_y, std::span<const T> weight, Tensor<T>& grad_x) {
  const ImageShape &x = grad_x.shape(), &y = grad_y.shape();
  const std::size_t channels = shape.in_per_group(), length = shape.taps() * channels;
  const KernelPanels<T> kernels(shape, weight, true);
  const std::size_t images_per_set =
      std::max<std::size_t>(1, blocking::patches_per_block<T>(shape) / (y.height * y.width));
  const std::size_t sets = (x.batch + images_per_set - 1) / images_per_set;
  parallel_for(sets, grad_y.size() * length, [&](std::size_t set) {
    const std::size_t image = set * images_per_set, images = std::min(images_per_set, x.batch - image);
    const std::size_t pixels = x.height * x.width;
    std::fill_n(grad_x.pixel(image * pixels), images * pixels * x.channels, T(0));
    const PixelBlocks blocks(image * y.height * y.width, images * y.height * y.width,
                             blocking::patches_per_block<T>(shape));
    for (std::size_t block = 0; block < blocks.count(); ++block)
      for (std::size_t group = 0; group < shape.groups; ++group) {
        const std::size_t first = blocks.first(block), count = blocks.size(block);
        const Panels<T> rows{scratch<Scratch::patches, T>(Panels<T>::size(count, length)), count, length};
        multiply({grad_y.pixel(first) + group * shape.out_per_group(), shape.out_channels, 1}, count, kernels[group],
                 Product<T>::in_panels(rows), false);
        for_each_tap(
            shape, x, y, first, count,
            [&](std::size_t patch, std::size_t tap, std::size_t pixel) {
              T* const to = grad_x.pixel(pixel) + group * channels;
              rows.for_each_piece(patch, tap * channels, channels, [&](T* from, std::size_t done, std::size_t size) {
                for (std::size_t c = 0; c < size; ++c) to[done + c] += from[c];
              });
            },
            [](std::size_t, std::size_t, std::size_t) {});
      }
  });
}

/// conv_backward_weight() for every shape: each thread sums the products over blocks of patches of its own.
template <class T>
void gemm_backward_weight(const ConvShape& shape, const Tensor<T>& x, const Tensor<T>& grad_y, std::span<T> grad_weight,
                          const InputAffine<T>* input) {
  const std::size_t length = shape.taps() * shape.in_per_group();
  const PixelBlocks blocks(0, grad_y.shape().pixels(), blocking::patches_per_backward_weight_block<T>(shape));
  sum_in_parts<T>(blocks.count(), grad_y.size() * length, grad_weight, [&](std::size_t block, std::span<T> part) {
    const std::size_t first = blocks.first(block), count = blocks.size(block), columns = shape.out_per_group();
    const Panels<T> grad{scratch<Scratch::packed_grad, T>(Panels<T>::size(count, columns)), count, columns};
    for (std::size_t group = 0; group < shape.groups; ++group) {
      grad.pack({grad_y.pixel(first) + group * columns, shape.out_channels, 1});
      const auto product = Product<T>::row_major(group_kernel(shape, part.data(), group).data, shape.out_channels);
      if (length >= blocking::patches_long)
        multiply_transposed(patch_strips(shape, x, grad_y.shape(), group, first, count, input), grad, product, true);
      else
        multiply(patches(shape, x, grad_y.shape(), group, first, count, input).transposed(), length, grad, product,
                 true);
    }
  });
}

}  // namespace repopt::nn::engine
