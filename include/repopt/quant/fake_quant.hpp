// FakeQuantConvRelu: a quantized block that computes in floats, so that gradients can train it.
#pragma once

#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/blocks/conv_bias_relu.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/quantized_vgg.hpp"
#include "repopt/quant/weight_rounding.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

/// Computes relu(conv(q(x), q(W)) + bias), where q rounds to the numbers that the integers represent. The parameters
/// are W and bias, in floats, like the deployed block's. Gradients pass through q unchanged (arXiv 1308.3432), except
/// that they are 0 for an x that was clipped. The block that reads the output rounds it.
template <class T>
class FakeQuantConvRelu final : public nn::Block<T> {
 public:
  nn::Parameter<T> weight;  ///< the float kernel, HWIO, which is trained

  /// Starts with the kernel and bias of `conv`. Inputs are rounded by `input`. W is rounded by a WeightRounding that is
  /// chosen for W in each forward pass. Throws std::invalid_argument if the shape is impossible or a number of elements
  /// is wrong.
  FakeQuantConvRelu(const nn::FusedConv<T>& conv, const WeightOptions& options, const Quantization& input,
                    bool requires_input_grad, nn::ConvAlgorithm algorithm)
      : options_(options), input_(input), rounded_(conv, requires_input_grad) {
    weight = rounded_.conv.weight;
    rounded_.conv.algorithm = algorithm;
  }

  nn::LazyTensor<T> forward(const nn::LazyTensor<T>& x, nn::Phase phase) override {
    x_ = &x.evaluate(memory_);
    rounded_x_.resize(x_->shape());
    nn::for_each_pixel(*x_, [&](std::size_t p) {
      for (std::size_t c = 0; c < x_->shape().channels; ++c)
        rounded_x_.pixel(p)[c] = T(input_.dequantize(input_.quantize(float(x_->pixel(p)[c]))));
    });
    const ConvShape& shape = rounded_.conv.shape();
    const WeightRounding rounding(fused(), options_, input_);
    for_each_weight(shape, [&](const WeightIndex& w) {
      const std::size_t k = shape.offset(w);
      rounded_.conv.weight.value[k] = T(rounding.scale(w)) * T(rounding.quantize(w, weight.value[k]));
    });
    return rounded_.forward(rounded_x_, phase);
  }

  void backward(nn::Tensor<T>& grad, nn::GradScratch<T>& scratch) override {
    std::swap(rounded_.conv.weight.grad, weight.grad);
    rounded_.backward(grad, scratch);
    std::swap(rounded_.conv.weight.grad, weight.grad);
    if (grad.size() == 0) return;
    const T low = T(input_.low()), high = T(input_.high());
    nn::for_each_pixel(grad, [&](std::size_t p) {
      const auto x = x_->channels(p);
      grad.channels(p) = (x >= low && x <= high).select(grad.channels(p), T(0));
    });
  }

  void visit_parameters(const std::string& prefix, const nn::ParameterVisitor<T>& visit) override {
    visit(prefix + ".conv.weight", weight);
    visit(prefix + ".conv.bias", rounded_.bias);
  }

  nn::FusedConv<T> fused() const override { return {rounded_.conv.shape(), weight.value, rounded_.bias.value}; }

 private:
  WeightOptions options_;
  Quantization input_;
  nn::ConvBiasRelu<T> rounded_;  ///< the block with the kernel q(W)
  const nn::Tensor<T>* x_ = nullptr;
  nn::Tensor<T> memory_, rounded_x_;
};

/// Returns the deployed network of `model` with blocks that round as a QuantizedVgg with these `activations` does. The
/// output of the last block, the pooled features and the linear layer are neither rounded nor clipped, so training does
/// not see the range of the last two activations. After training, the network gives a QuantizedVgg with the same
/// activations. Throws what require_activations() and require_valid() throw, and std::invalid_argument if a scale of a
/// block is not finite.
template <class T>
nn::Vgg<T> fake_quantized(const nn::Vgg<T>& model, const std::vector<Quantization>& activations,
                          const WeightOptions& options) {
  require_activations(model.config(), activations);
  require_valid(options);
  return nn::with_fused_blocks(model, [&](const nn::BlockSpec& spec, const nn::FusedConv<T>& fused) {
    return std::make_unique<FakeQuantConvRelu<T>>(fused, options, activations[spec.index], spec.requires_input_grad(),
                                                  spec.algorithm);
  });
}

}  // namespace repopt::quant
