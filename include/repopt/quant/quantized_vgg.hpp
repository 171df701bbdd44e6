// QuantizedVgg: the deployed network in integers of at most 8 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/quant/fixed_point.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/quantized_conv.hpp"
#include "repopt/quant/weight_rounding.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

/// The names of the activations that are quantized, in order: "images", the outputs of the blocks "stage0", "stage1.0",
/// ..., and "pooled", the features that enter the linear layer.
inline std::vector<std::string> activation_names(const nn::VggConfig& config) {
  std::vector<std::string> names{"images"};
  for (const nn::BlockSpec& spec : config.block_specs()) names.push_back(spec.name);
  names.emplace_back("pooled");
  return names;
}

/// Throws std::invalid_argument, naming the activation, unless `activations` fit the network: one for each of
/// activation_names(), with 2 to 8 bits, a scale that is finite and > 0, and a zero point that these bits can
/// represent. All zero points but that of the images must be 0, so that clamping to the levels is ReLU.
inline void require_activations(const nn::VggConfig& config, const std::vector<Quantization>& activations) {
  const std::vector<std::string> names = activation_names(config);
  require(activations.size() == names.size(), "there are ", activations.size(), " quantizations, the network has ",
          names.size(), " places for them");
  for (std::size_t i = 1; i < names.size(); ++i)
    require(activations[i].zero_point == 0, "the zero point of ", names[i], " must be 0, it is ",
            int(activations[i].zero_point));
  for (std::size_t i = 0; i < names.size(); ++i) {
    require(std::isfinite(activations[i].scale) && activations[i].scale > 0, "the scale of ", names[i],
            " must be finite and > 0, it is ", activations[i].scale);
    require_bits(names[i], activations[i].bits);
    require(activations[i].zero_point <= activations[i].largest_level(), "the zero point of ", names[i], " is ",
            int(activations[i].zero_point), ", which does not fit ", activations[i].bits, " bits");
  }
}

/// The deployed network in integers: blocks of convolution, bias and ReLU, then global average pooling and a linear
/// layer. Activations and weights have 2 to 8 bits, sums 32 bits, and fixed-point factors convert from one scale to the
/// next. Blocks may have their centre diagonals split off. ONNX expresses a block as DequantizeLinear, Conv, Relu and
/// QuantizeLinear with the same scales and zero points.
class QuantizedVgg {
 public:
  /// Quantizes the deployed form of `model`, which may be in any mode. `activations` are in the order of
  /// activation_names(). The linear layer has no identity branch and is never split. Throws what require_activations()
  /// throws, and std::invalid_argument if an option is wrong or a parameter of the network is not finite.
  template <class T>
  QuantizedVgg(const nn::Vgg<T>& model, std::vector<Quantization> activations, const WeightOptions& options)
      : QuantizedVgg(model.config(), quantized(model, activations, options), activations) {}

  /// A network with these weights, of the blocks and then of the linear layer. Throws std::invalid_argument if they do
  /// not fit the network.
  QuantizedVgg(nn::VggConfig config, std::vector<QuantizedWeights> weights, std::vector<Quantization> activations)
      : config_(std::move(config)), activations_(std::move(activations)) {
    const std::vector<nn::BlockSpec> specs = config_.block_specs();
    require_activations(config_, activations_);
    require(weights.size() == specs.size() + 1, "there are weights of ", weights.size(), " layers, the network has ",
            specs.size() + 1);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const ConvShape linear = ConvShape::linear(config_.widths.back(), config_.classes);
      const ConvShape shape = (i < specs.size() ? specs[i].shape : linear).in_layout(WeightLayout::ohwi);
      require(weights[i].shape == shape, "layer ", i, " is [", describe(weights[i].shape), "], in the network it is [",
              describe(shape), "]");
      layers_.emplace_back(std::move(weights[i]), activations_[i < specs.size() ? i : i + 1]);
    }
    require(!layers_.back().has_diagonal(), "the linear layer has a centre diagonal");
    static_cast<void>(pooling_factor(1));  // the largest there is; throws if it is too large
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const double output_scale = double(activations_[i + 1].scale);
      factors_.emplace_back();
      for (std::size_t c = 0; c < specs[i].shape.out_channels; ++c)
        factors_[i].emplace_back(layers_[i].sum_scale(c) / output_scale,
                                 layers_[i].has_diagonal() ? layers_[i].product_scale() / output_scale : 0);
    }
  }

  /// The configuration of the network that was quantized.
  const nn::VggConfig& config() const { return config_; }

  /// The quantizations of the activations, in the order of activation_names().
  const std::vector<Quantization>& activations() const { return activations_; }

  /// The convolutions of the blocks, then the linear layer.
  const std::vector<QuantizedConv>& layers() const { return layers_; }

  /// Computes the logits, (batch, 1, 1, classes), of images (batch, height, width, in_channels). Calls observe(place,
  /// tensor) with each activation, in the order of activation_names(). Throws std::invalid_argument if the images do
  /// not fit.
  const nn::Tensor<float>& forward(const nn::Tensor<float>& images, auto observe) {
    x_.resize(images.shape());
    parallel_for(images.shape().pixels(), images.size(), [&](std::size_t p) {
      for (std::size_t c = 0; c < images.shape().channels; ++c)
        x_.pixel(p)[c] = activations_[0].quantize(images.pixel(p)[c]);
    });
    observe(std::size_t(0), std::as_const(x_));
    for (std::size_t i = 0; i < factors_.size(); ++i) {
      conv_relu(i);
      observe(i + 1, std::as_const(x_));
    }
    pool();
    observe(factors_.size() + 1, std::as_const(x_));
    return linear();
  }

  /// Computes the logits without an observer.
  const nn::Tensor<float>& forward(const nn::Tensor<float>& images) {
    return forward(images, [](std::size_t, const nn::Tensor<std::uint8_t>&) {});
  }

 private:
  template <class T>
  static std::vector<QuantizedWeights> quantized(const nn::Vgg<T>& model, const std::vector<Quantization>& activations,
                                                 const WeightOptions& options) {
    require_activations(model.config(), activations);
    std::vector<QuantizedWeights> weights;
    for (std::size_t i = 0; i < model.blocks().size(); ++i)
      weights.push_back(QuantizedConv::nearest(model.blocks()[i]->fused(), options, activations[i]).weights());
    const nn::Linear<T>& linear = model.linear;
    const nn::FusedConv<T> last{ConvShape::linear(linear.weight.dims[1], linear.weight.dims[0]), linear.weight.value,
                                linear.bias.value};
    const WeightOptions unsplit{options.scheme, options.bits};
    weights.push_back(QuantizedConv::nearest(last, unsplit, activations.back()).weights());
    return weights;
  }

  static std::uint8_t clamped(std::int64_t level, std::uint8_t largest) {
    return std::uint8_t(std::clamp<std::int64_t>(level, 0, largest));
  }

  /// x_ = relu(conv(x_) + bias), with the weights of block i.
  void conv_relu(std::size_t i) {
    const QuantizedConv& layer = layers_[i];
    const bool has_diagonal = layer.has_diagonal();
    const std::uint8_t largest = activations_[i + 1].largest_level();
    y_.resize(nn::conv_output_shape(layer.weights().shape, x_.shape()));
    layer.forward(x_, [&](std::size_t pixel, std::span<const std::int32_t> sums) {
      for (std::size_t c = 0; c < sums.size(); ++c) {
        const FixedPoint& factor = factors_[i][c];
        const std::int64_t level =
            has_diagonal ? factor(sums[c], layer.product(c, x_.pixel(pixel)[c])) : factor(sums[c]);
        y_.pixel(pixel)[c] = clamped(level, largest);
      }
    });
    std::swap(x_, y_);
  }

  /// Returns the factor from a sum of levels over `area` pixels to a level of the mean.
  FixedPoint pooling_factor(std::size_t area) const {
    const float last_block = activations_[activations_.size() - 2].scale;
    return FixedPoint(double(last_block) / (double(area) * double(activations_.back().scale)));
  }

  /// x_ = the mean of each channel of x_.
  void pool() {
    const nn::ImageShape shape = x_.shape();
    const std::size_t area = shape.height * shape.width;
    constexpr std::size_t most = std::numeric_limits<std::int32_t>::max() / 255;
    require(area > 0 && area <= most, "there must be 1 to ", most, " pixels to pool: ", describe(shape));
    const FixedPoint factor = pooling_factor(area);
    y_.resize({shape.batch, 1, 1, shape.channels});
    for (std::size_t n = 0; n < shape.batch; ++n)
      for (std::size_t c = 0; c < shape.channels; ++c) {
        std::int32_t sum = 0;
        for (std::size_t p = 0; p < area; ++p) sum += x_.pixel(n * area + p)[c];
        y_.pixel(n)[c] = clamped(factor(sum), activations_.back().largest_level());
      }
    std::swap(x_, y_);
  }

  const nn::Tensor<float>& linear() {
    const QuantizedConv& layer = layers_.back();
    logits_.resize({x_.shape().batch, 1, 1, config_.classes});
    layer.forward(x_, [&](std::size_t pixel, std::span<const std::int32_t> sums) {
      for (std::size_t c = 0; c < sums.size(); ++c)
        logits_.pixel(pixel)[c] = float(layer.sum_scale(c) * double(sums[c]));
    });
    return logits_;
  }

  nn::VggConfig config_;
  std::vector<Quantization> activations_;
  std::vector<QuantizedConv> layers_;
  /// For each block and channel, the factors from the scales of its sums and products to the scale of its output.
  std::vector<std::vector<FixedPoint>> factors_;
  nn::Tensor<std::uint8_t> x_, y_;
  nn::Tensor<float> logits_;
};

}  // namespace repopt::quant
