// CslaReference: the multi-branch block itself. Each branch is a separate convolution that a stock optimizer trains. It
// is the reference for the rules, so its training uses neither embed, GradMult nor the equivalent kernel.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "support/naive_conv.hpp"
#include "support/torch_optim.hpp"

namespace repopt::testing {

/// Returns sum_i s_i * W_i with each weight placed by its coordinates: two taps are the same if they read the same
/// pixel of the image, and two channels if they are the same channel of the image. The result and the kernels are OIHW.
/// A branch adds nothing to an output channel with s = 0.
template <class T>
std::vector<T> kernel_by_coordinates(const ConvShape& target, const std::vector<Branch<T>>& branches,
                                     const std::vector<TorchParam<T>>& kernels) {
  struct Weight {
    std::size_t out, in;
    std::ptrdiff_t row, column;  // relative to the first pixel of the output
    bool operator==(const Weight&) const = default;
  };
  const auto weights = [](const ConvShape& shape) {
    std::vector<Weight> result;
    const std::size_t ins = shape.in_channels / shape.groups, outs = shape.out_channels / shape.groups;
    for (std::size_t o = 0; o < shape.out_channels; ++o)
      for (std::size_t i = 0; i < ins; ++i)
        for (std::size_t p = 0; p < shape.kernel_size[0]; ++p)
          for (std::size_t q = 0; q < shape.kernel_size[1]; ++q)
            result.push_back({o, o / outs * ins + i, std::ptrdiff_t(p * shape.dilation[0] - shape.padding[0]),
                              std::ptrdiff_t(q * shape.dilation[1] - shape.padding[1])});
    return result;
  };
  const std::vector<Weight> places = weights(target);
  std::vector<T> result(places.size());
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const std::vector<Weight> own = weights(branches[i].shape);
    for (std::size_t k = 0; k < own.size(); ++k) {
      const T s = branches[i].scale[own[k].out];
      const auto place = std::size_t(std::ranges::find(places, own[k]) - places.begin());
      if (s != 0) result.at(place) += s * kernels[i].data[k];
    }
  }
  return result;
}

/// The block y = sum_i s_i * conv(x, W_i) + bias, trained as PyTorch trains it.
template <class Rule, class T>
class CslaReference {
 public:
  using Options = typename Rule::Options;

  /// `kernels` (OIHW) and `bias` are the initial weights.
  CslaReference(const std::vector<Branch<T>>& branches, const std::vector<std::vector<T>>& kernels,
                const std::vector<T>& bias)
      : branches_(branches), bias_{bias} {
    for (const std::vector<T>& kernel : kernels) kernels_.push_back({kernel});
  }

  const std::vector<TorchParam<T>>& kernels() const { return kernels_; }
  const std::vector<T>& bias() const { return bias_.data; }

  Images<T> forward(const Images<T>& x) const {
    Images<T> y;
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      const Images<T> part = conv(branches_[i].shape, x, kernels_[i].data);
      if (i == 0) y = {part.n, part.channels, part.height, part.width};
      for (std::size_t k = 0; k < y.data.size(); ++k)
        if (const T s = branches_[i].scale[y.channel_of(k)]; s != 0) y.data[k] += s * part.data[k];
    }
    for (std::size_t k = 0; k < y.data.size(); ++k) y.data[k] += bias_.data[y.channel_of(k)];
    return y;
  }

  /// Adds this micro-batch's gradients, divided by the number of micro-batches.
  void backward(const Images<T>& x, const Images<T>& grad_y, std::size_t micro_batches) {
    const T share = T(1) / T(micro_batches);
    for (std::size_t i = 0; i < branches_.size(); ++i) {
      Images<T> scaled = grad_y;
      for (std::size_t k = 0; k < scaled.data.size(); ++k)
        scaled.data[k] *= share * branches_[i].scale[scaled.channel_of(k)];
      const std::vector<T> grad = conv_weight_grad(branches_[i].shape, x, scaled);
      for (std::size_t k = 0; k < grad.size(); ++k) kernels_[i].grad[k] += grad[k];
    }
    for (std::size_t k = 0; k < grad_y.data.size(); ++k) bias_.grad[grad_y.channel_of(k)] += share * grad_y.data[k];
  }

  double clip_grad_norm(double max_norm) {
    std::vector<TorchParam<T>*> params{&bias_};
    for (TorchParam<T>& kernel : kernels_) params.push_back(&kernel);
    return torch_clip_grad_norm(params, max_norm);
  }

  void step(const Options& kernel_options, const Options& bias_options) {
    for (TorchParam<T>& kernel : kernels_) step(kernel, kernel_options);
    step(bias_, bias_options);
  }

 private:
  static void step(TorchParam<T>& param, const Options& options) {
    torch_step(param, options);
    std::ranges::fill(param.grad, T(0));
  }

  std::vector<Branch<T>> branches_;
  std::vector<TorchParam<T>> kernels_;
  TorchParam<T> bias_;
};

}  // namespace repopt::testing
