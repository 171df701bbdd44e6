// The tests' own convolution, written like the definition: one product at a time, with NCHW images and OIHW kernels. It
// uses the numbers in the library's ConvShape, but none of the library's arithmetic.
#pragma once

#include <cstddef>
#include <numeric>
#include <vector>

#include "repopt/core/conv_shape.hpp"

namespace repopt::testing {

/// A batch of images, (n, channels, height, width).
template <class T>
struct Images {
  std::size_t n = 0, channels = 0, height = 0, width = 0;
  std::vector<T> data = std::vector<T>(n * channels * height * width);

  std::size_t channel_of(std::size_t element) const { return element / (height * width) % channels; }
};

/// Calls visit(element of x, weight in OIHW, element of y) for every product of a convolution.
template <class T>
void for_each_product(const ConvShape& shape, const Images<T>& x, const Images<T>& y, auto visit) {
  const std::size_t kernel_h = shape.kernel_size[0], kernel_w = shape.kernel_size[1];
  const std::size_t ins = shape.in_channels / shape.groups, outs = shape.out_channels / shape.groups;
  for (std::size_t n = 0; n < x.n; ++n)
    for (std::size_t out = 0; out < shape.out_channels; ++out)
      for (std::size_t i = 0; i < ins; ++i)
        for (std::size_t p = 0; p < kernel_h; ++p)
          for (std::size_t q = 0; q < kernel_w; ++q)
            for (std::size_t row = 0; row < y.height; ++row)
              for (std::size_t column = 0; column < y.width; ++column) {
                const std::size_t padded_row = row * shape.stride[0] + p * shape.dilation[0];
                const std::size_t padded_column = column * shape.stride[1] + q * shape.dilation[1];
                if (padded_row < shape.padding[0] || padded_row >= shape.padding[0] + x.height) continue;
                if (padded_column < shape.padding[1] || padded_column >= shape.padding[1] + x.width) continue;
                const std::size_t in = out / outs * ins + i;
                visit(((n * x.channels + in) * x.height + padded_row - shape.padding[0]) * x.width + padded_column -
                          shape.padding[1],
                      ((out * ins + i) * kernel_h + p) * kernel_w + q,
                      ((n * shape.out_channels + out) * y.height + row) * y.width + column);
              }
}

/// torch.nn.functional.conv2d without bias. `weight` is OIHW for any layout of `shape`.
template <class T>
Images<T> conv(const ConvShape& shape, const Images<T>& x, const std::vector<T>& weight) {
  const auto out = [&](std::size_t axis, std::size_t size) {
    const std::size_t reach = shape.dilation[axis] * (shape.kernel_size[axis] - 1);
    return (size + 2 * shape.padding[axis] - reach - 1) / shape.stride[axis] + 1;
  };
  Images<T> y{x.n, shape.out_channels, out(0, x.height), out(1, x.width)};
  for_each_product(shape, x, y,
                   [&](std::size_t from, std::size_t w, std::size_t to) { y.data[to] += weight[w] * x.data[from]; });
  return y;
}

/// Returns dL/dweight in OIHW, from x and dL/dy.
template <class T>
std::vector<T> conv_weight_grad(const ConvShape& shape, const Images<T>& x, const Images<T>& grad_y) {
  std::vector<T> grad(shape.out_channels * (shape.in_channels / shape.groups) * shape.kernel_size[0] *
                      shape.kernel_size[1]);
  for_each_product(shape, x, grad_y,
                   [&](std::size_t from, std::size_t w, std::size_t to) { grad[w] += grad_y.data[to] * x.data[from]; });
  return grad;
}

/// Converts an OIHW kernel, or its gradient, to the layout of `shape`.
template <class T>
std::vector<T> from_oihw(const ConvShape& shape, const std::vector<T>& oihw) {
  const std::size_t outs = shape.out_channels, ins = shape.in_channels / shape.groups;
  const std::size_t rows = shape.kernel_size[0], columns = shape.kernel_size[1];
  std::vector<T> result;
  const auto append = [&](std::size_t o, std::size_t i, std::size_t p, std::size_t q) {
    result.push_back(oihw[((o * ins + i) * rows + p) * columns + q]);
  };
  switch (shape.layout) {
    case WeightLayout::oihw: return oihw;
    case WeightLayout::ohwi:
      for (std::size_t o = 0; o < outs; ++o)
        for (std::size_t p = 0; p < rows; ++p)
          for (std::size_t q = 0; q < columns; ++q)
            for (std::size_t i = 0; i < ins; ++i) append(o, i, p, q);
      break;
    case WeightLayout::hwio:
      for (std::size_t p = 0; p < rows; ++p)
        for (std::size_t q = 0; q < columns; ++q)
          for (std::size_t i = 0; i < ins; ++i)
            for (std::size_t o = 0; o < outs; ++o) append(o, i, p, q);
      break;
  }
  return result;
}

/// The inverse of from_oihw().
template <class T>
std::vector<T> to_oihw(const ConvShape& shape, const std::vector<T>& kernel) {
  std::vector<std::size_t> places(kernel.size());
  std::iota(places.begin(), places.end(), std::size_t(0));
  places = from_oihw(shape, places);
  std::vector<T> oihw(kernel.size());
  for (std::size_t k = 0; k < kernel.size(); ++k) oihw[places[k]] = kernel[k];
  return oihw;
}

}  // namespace repopt::testing
