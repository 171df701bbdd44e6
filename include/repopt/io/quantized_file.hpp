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
  for (auto& [name, shape] : layers) shape.layout = WeightLayout::ohwi;
  return layers;
}

/// A kernel's dimensions in PyTorch. A linear layer has two dimensions.
inline std::vector<std::size_t> weight_dims(const std::string& layer, const ConvShape& shape) {
  if (layer == "linear") return {shape.out_channels, shape.in_channels};
  return {shape.out_channels, shape.in_channels, shape.kernel_size[0], shape.kernel_size[1]};
}

}  // namespace detail

/// Adds a quantized network to a file. Each layer, from stage0.conv to linear, has a weight (I8, OIHW), a weight_scale
/// (F32, (out_channels) or (1)) and a bias (I32), under names such as "stage0.conv.weight". Each of activation_names()
/// has an activation_scale (F32) and an activation_zero_point (U8), both of one element.
inline void add_quantized(formats::SafetensorsWriter& writer, const quant::QuantizedVgg& network) {
  const auto layers = detail::layer_shapes(network.config());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto& [name, shape] = layers[i];
    const quant::QuantizedWeights& weights = network.layers()[i].weights();
    std::vector<std::int8_t> elements(weights.weight.size());
    copy_weight<std::int8_t>(shape, weights.weight, detail::in_oihw(shape), elements);
    writer.add(name + ".weight", detail::weight_dims(name, shape), elements);
    writer.add(name + ".weight_scale", {weights.scale.size()}, weights.scale);
    writer.add(name + ".bias", {weights.bias.size()}, weights.bias);
  }
  const std::vector<std::string> names = quant::activation_names(network.config());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const quant::Quantization& activation = network.activations()[i];
    writer.add(names[i] + ".activation_scale", {1}, std::vector<float>{activation.scale});
    writer.add(names[i] + ".activation_zero_point", {1}, std::vector<std::uint8_t>{activation.zero_point});
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
  std::vector<quant::QuantizedWeights> weights;
  for (const auto& [name, shape] : detail::layer_shapes(config)) {
    quant::QuantizedWeights& layer = weights.emplace_back();
    layer.shape = shape;
    std::vector<std::int8_t> elements;
    read(elements, name + ".weight", detail::weight_dims(name, shape));
    layer.weight.resize(elements.size());
    copy_weight<std::int8_t>(detail::in_oihw(shape), elements, shape, layer.weight);
    read(layer.scale, name + ".weight_scale", file.info(name + ".weight_scale").shape);
    read(layer.bias, name + ".bias", {shape.out_channels});
  }
  std::vector<quant::Quantization> activations;
  for (const std::string& name : quant::activation_names(config)) {
    std::vector<float> scale;
    std::vector<std::uint8_t> zero_point;
    read(scale, name + ".activation_scale", {1});
    read(zero_point, name + ".activation_zero_point", {1});
    activations.push_back({scale[0], zero_point[0]});
  }
  formats::require_file(count == file.names().size(), file.name(), " holds ", file.names().size(),
                        " tensors, the model '", config.name, "' has ", count);
  return {config, std::move(weights), std::move(activations)};
}

}  // namespace repopt::io
