// A quantized network in a safetensors file: int8 kernels, int32 biases and their scales, under PyTorch's names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/formats/file.hpp"
#include "repopt/formats/safetensors.hpp"
#include "repopt/io/model_file.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/quant/quantized_vgg.hpp"

namespace repopt::io {

namespace detail {

/// The names and shapes of the network's layers: "stage0.conv", ..., "linear".
inline std::vector<std::pair<std::string, ConvShape>> layer_shapes(const nn::VggConfig& config) {
  std::vector<std::pair<std::string, ConvShape>> layers;
  for (const nn::BlockSpec& spec : config.block_specs()) layers.emplace_back(spec.name + ".conv", spec.shape);
  layers.emplace_back("linear", ConvShape::linear(config.widths.back(), config.classes));
  for (auto& [name, shape] : layers) shape = shape.in_layout(WeightLayout::ohwi);
  return layers;
}

/// A weight's dimensions in PyTorch: those of a kernel, or (out_features, in_features) of the linear layer.
inline std::vector<std::size_t> weight_dims(const std::string& layer, const ConvShape& shape) {
  if (layer == "linear") return {shape.out_channels, shape.in_channels};
  return shape.dims();
}

/// Adds the number of bits if it is not 8. So a network of 8 bits gives the file that versions which knew only 8 bits
/// gave.
inline void add_bits(formats::SafetensorsWriter& writer, const std::string& name, int bits) {
  if (bits != 8) writer.add(name, {1}, std::vector<std::uint8_t>{std::uint8_t(bits)});
}

}  // namespace detail

/// Adds a quantized network to a file. Each layer, from stage0.conv to linear, has a weight (I8, OIHW), a weight_scale
/// (F32, (out_channels) or (1)) and a bias (I32), under names such as "stage0.conv.weight". Each of activation_names()
/// has an activation_scale (F32) and an activation_zero_point (U8), both of one element. A layer whose weights do not
/// have 8 bits also has weight_bits, and such an activation has activation_bits (U8, one element). A layer whose centre
/// diagonal is split off has a diagonal (I32, (out_channels)) and a diagonal_scale (F32, one element).
inline void add_quantized(formats::SafetensorsWriter& writer, const quant::QuantizedVgg& network) {
  const auto layers = detail::layer_shapes(network.config());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto& [name, shape] = layers[i];
    const quant::QuantizedWeights& weights = network.layers()[i].weights();
    std::vector<std::int8_t> elements(weights.weight.size());
    copy_weight<std::int8_t>(shape, weights.weight, shape.in_layout(WeightLayout::oihw), elements);
    writer.add(name + ".weight", detail::weight_dims(name, shape), elements);
    writer.add(name + ".weight_scale", {weights.scale.size()}, weights.scale);
    writer.add(name + ".bias", {weights.bias.size()}, weights.bias);
    detail::add_bits(writer, name + ".weight_bits", weights.bits);
    if (weights.diagonal.empty()) continue;
    writer.add(name + ".diagonal", {weights.diagonal.size()}, weights.diagonal);
    writer.add(name + ".diagonal_scale", {1}, std::vector<float>{weights.diagonal_scale});
  }
  const std::vector<std::string> names = quant::activation_names(network.config());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const quant::Quantization& activation = network.activations()[i];
    writer.add(names[i] + ".activation_scale", {1}, std::vector<float>{activation.scale});
    writer.add(names[i] + ".activation_zero_point", {1}, std::vector<std::uint8_t>{activation.zero_point});
    detail::add_bits(writer, names[i] + ".activation_bits", activation.bits);
  }
}

/// Reads a network that add_quantized() wrote. Throws std::runtime_error if a tensor is missing, superfluous, or of
/// another type or shape; the message names the file and the tensor. Throws std::invalid_argument if a number is not
/// possible.
inline quant::QuantizedVgg read_quantized(const formats::Safetensors& file, const nn::VggConfig& config) {
  std::size_t count = 0;
  const auto read = [&]<class T>(std::vector<T>& to, const std::string& name, const std::vector<std::size_t>& shape) {
    file.require_shape(name, shape);
    to = file.tensor<T>(name);
    ++count;
  };
  const auto read_one = [&]<class T>(T& to, const std::string& name) {
    std::vector<T> elements;
    read(elements, name, {1});
    to = elements[0];
  };
  const auto read_bits = [&](int& to, const std::string& name) {
    std::uint8_t bits = 8;
    if (file.contains(name)) read_one(bits, name);
    to = bits;
  };
  std::vector<quant::QuantizedWeights> weights;
  for (const auto& [name, shape] : detail::layer_shapes(config)) {
    quant::QuantizedWeights& layer = weights.emplace_back();
    layer.shape = shape;
    std::vector<std::int8_t> elements;
    read(elements, name + ".weight", detail::weight_dims(name, shape));
    layer.weight.resize(elements.size());
    copy_weight<std::int8_t>(shape.in_layout(WeightLayout::oihw), elements, shape, layer.weight);
    read(layer.scale, name + ".weight_scale", file.info(name + ".weight_scale").shape);
    read(layer.bias, name + ".bias", {shape.out_channels});
    read_bits(layer.bits, name + ".weight_bits");
    if (!file.contains(name + ".diagonal")) continue;
    read(layer.diagonal, name + ".diagonal", {shape.out_channels});
    read_one(layer.diagonal_scale, name + ".diagonal_scale");
  }
  std::vector<quant::Quantization> activations;
  for (const std::string& name : quant::activation_names(config)) {
    quant::Quantization& activation = activations.emplace_back();
    read_one(activation.scale, name + ".activation_scale");
    read_one(activation.zero_point, name + ".activation_zero_point");
    read_bits(activation.bits, name + ".activation_bits");
  }
  formats::require_file(count == file.names().size(), file.name(), " holds ", file.names().size(),
                        " tensors, the model '", config.name, "' has ", count);
  return {config, std::move(weights), std::move(activations)};
}

}  // namespace repopt::io
