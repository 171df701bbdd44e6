// Random tensors, and conversions between tensors and the images of the naive convolution.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "repopt/tensor/tensor.hpp"
#include "support/naive_conv.hpp"
#include "support/random.hpp"

namespace repopt::testing {

/// Returns a tensor of random numbers in [-1, 1].
template <class T>
nn::Tensor<T> random_tensor(Random& random, const nn::ImageShape& shape) {
  nn::Tensor<T> x(shape);
  for (T& value : x.values()) value = T(random.real(-1, 1));
  return x;
}

template <class T>
void fill_random(Random& random, std::span<T> values, double low = -1, double high = 1) {
  for (T& value : values) value = T(random.real(low, high));
}

/// Calls visit(place in `x`, place in NCHW) for every element.
template <class T>
void for_each_element(const nn::Tensor<T>& x, auto visit) {
  const nn::ImageShape& shape = x.shape();
  const std::size_t area = shape.height * shape.width;
  for (std::size_t pixel = 0; pixel < shape.pixels(); ++pixel)
    for (std::size_t c = 0; c < shape.channels; ++c)
      visit(pixel * shape.channels + c, (pixel / area * shape.channels + c) * area + pixel % area);
}

template <class T>
Images<T> to_images(const nn::Tensor<T>& x) {
  Images<T> images{x.shape().batch, x.shape().channels, x.shape().height, x.shape().width};
  for_each_element(x, [&](std::size_t from, std::size_t to) { images.data[to] = x.data()[from]; });
  return images;
}

template <class T>
nn::Tensor<T> to_tensor(const Images<T>& images) {
  nn::Tensor<T> x({images.n, images.height, images.width, images.channels});
  for_each_element(x, [&](std::size_t to, std::size_t from) { x.data()[to] = images.data[from]; });
  return x;
}

}  // namespace repopt::testing
