// FoldedSequence: working memory and loops for a branch of two trained convolutions.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/sequence_product.hpp"

namespace repopt {

/// The kernel B of a sequence and its gradient. Both are HWIO. The weights V and W of the two convolutions may have any
/// layouts.
template <std::floating_point T>
class FoldedSequence {
 public:
  /// `groups` are the groups of B.
  FoldedSequence(const ConvShape& first, const ConvShape& second, std::size_t groups)
      : shapes_{first, second},
        product_(first, second, groups),
        kernel_(product_.size()),
        kernel_grad_(product_.size()) {
    for (std::size_t i = 0; i < 2; ++i) {
      in_hwio_[i] = shapes_[i].in_layout(WeightLayout::hwio);
      relaid_[i].resize(shapes_[i] == in_hwio_[i] ? 0 : shapes_[i].size());
      raw_grad_[i].resize(shapes_[i].size());
    }
  }

  /// B, and dL/dB without the scale. The caller fills in dL/dB before it calls add_gradients().
  /// @{
  std::span<const T> kernel() const { return kernel_; }
  std::span<T> kernel_grad() { return kernel_grad_; }
  /// @}

  /// Computes B from V and W.
  void fold(std::span<const T> v, std::span<const T> w) { product_.fold(in_hwio(0, v), in_hwio(1, w), kernel_); }

  /// Adds dL/dV, dL/dW and, unless `scale_grad` is empty, dL/ds, where s is the scale of B. With `overwrites` it
  /// overwrites these gradients instead. It also multiplies kernel_grad() by s.
  void add_gradients(std::span<const T> v, std::span<const T> w, std::span<const T> scale, std::span<T> v_grad,
                     std::span<T> w_grad, std::span<T> scale_grad, bool overwrites) {
    v = in_hwio(0, v);
    w = in_hwio(1, w);
    product_.gradient_of_second(v, kernel_grad_, raw_grad_[1]);
    // dL/ds needs sum B G, which equals sum W (dL/dW without s), so B itself is not needed.
    if (!scale_grad.empty()) add_scale_gradient(w, scale_grad, overwrites);
    for_each_row(in_hwio_[1], [&](std::size_t row, std::size_t channels) {
      for (std::size_t o = 0; o < channels; ++o) raw_grad_[1][row * channels + o] *= scale[o];
    });
    parallel_for(kernel_grad_.size() / scale.size(), kernel_grad_.size(), [&](std::size_t row) {
      for (std::size_t o = 0; o < scale.size(); ++o) kernel_grad_[row * scale.size() + o] *= scale[o];
    });
    product_.gradient_of_first(w, kernel_grad_, raw_grad_[0]);
    add(0, v_grad, overwrites);
    add(1, w_grad, overwrites);
  }

 private:
  /// Calls visit(row, out_channels) for each row of an HWIO kernel, in parallel.
  static void for_each_row(const ConvShape& shape, auto visit) {
    const std::size_t channels = shape.out_channels;
    parallel_for(shape.size() / channels, shape.size(), [&](std::size_t row) { visit(row, channels); });
  }

  /// The index at which the weights of HWIO row `row` begin in the layout of operator i.
  std::size_t first_of_row(std::size_t i, std::size_t row) const {
    const std::size_t in = shapes_[i].in_per_group(), tap = row / in, width = shapes_[i].kernel_size[1];
    return shapes_[i].offset({.in = row % in, .row = tap / width, .column = tap % width});
  }

  /// Returns the weights of operator i in HWIO: the weights themselves if they are HWIO, otherwise a copy.
  std::span<const T> in_hwio(std::size_t i, std::span<const T> weight) {
    if (relaid_[i].empty()) return weight;
    const std::size_t step = shapes_[i].strides().out;
    for_each_row(in_hwio_[i], [&](std::size_t row, std::size_t channels) {
      const T* const from = weight.data() + first_of_row(i, row);
      for (std::size_t o = 0; o < channels; ++o) relaid_[i][row * channels + o] = from[o * step];
    });
    return relaid_[i];
  }

  void add_scale_gradient(std::span<const T> w, std::span<T> scale_grad, bool overwrites) {
    constexpr std::size_t block = 64;
    const std::size_t channels = scale_grad.size();
    parallel_for((channels + block - 1) / block, w.size(), [&](std::size_t index) {
      const std::size_t begin = index * block, end = std::min(begin + block, channels);
      std::array<T, block> sums{};
      for (std::size_t k = 0; k < w.size(); k += channels)
        for (std::size_t o = begin; o < end; ++o) sums[o - begin] += w[k + o] * raw_grad_[1][k + o];
      for (std::size_t o = begin; o < end; ++o)
        scale_grad[o] = overwrites ? sums[o - begin] : scale_grad[o] + sums[o - begin];
    });
  }

  /// Adds raw_grad_[i], which is HWIO, to `grad`, which has the operator's layout.
  void add(std::size_t i, std::span<T> grad, bool overwrites) {
    const std::size_t step = shapes_[i].strides().out;
    for_each_row(in_hwio_[i], [&](std::size_t row, std::size_t channels) {
      const T* const from = raw_grad_[i].data() + row * channels;
      T* const to = grad.data() + first_of_row(i, row);
      for (std::size_t o = 0; o < channels; ++o) to[o * step] = overwrites ? from[o] : to[o * step] + from[o];
    });
  }

  std::array<ConvShape, 2> shapes_, in_hwio_;
  SequenceProduct<T> product_;
  std::vector<T> kernel_, kernel_grad_;
  std::array<std::vector<T>, 2> relaid_;    ///< HWIO copies of the weights; empty if they are HWIO already
  std::array<std::vector<T>, 2> raw_grad_;  ///< the weights' gradients in HWIO
};

}  // namespace repopt
