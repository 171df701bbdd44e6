// Writes quantized networks as ONNX files in QDQ form: QuantizeLinear and DequantizeLinear surround float operators.
// Runtimes with integer kernels fuse them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/io/onnx.hpp"
#include "repopt/io/onnx_graph.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/quantized_vgg.hpp"

namespace repopt::io {

namespace detail {

/// Adds nodes that round `x` and convert it back. Returns the rounded value. QuantizeLinear clamps to the 256 levels of
/// uint8; if there are fewer, a Clip of these integers follows.
inline const std::string& add_rounding(OnnxGraph& graph, const std::string& x, const std::string& place,
                                       const quant::Quantization& quantization) {
  const auto& scale = graph.initializer<float>(place + ".scale", {}, {quantization.scale});
  const auto& zero_point = graph.initializer<std::uint8_t>(place + ".zero_point", {}, {quantization.zero_point});
  std::string level = graph.node("QuantizeLinear", {x, scale, zero_point}, place + ".quantized");
  if (quantization.bits < 8) {
    const auto& largest = graph.initializer<std::uint8_t>(place + ".largest_level", {}, {quantization.largest_level()});
    level = graph.node("Clip", {level, "", largest}, place + ".clipped");
  }
  return graph.node("DequantizeLinear", {level, scale, zero_point}, place + ".dequantized");
}

/// Adds a node that converts the value `integers` to real numbers, with one scale or with one scale for each index of
/// the first dimension. Returns the real value.
template <class T>
const std::string& add_dequantization(OnnxGraph& graph, const std::string& integers, const std::vector<float>& scales,
                                      T zero_point) {
  const std::vector<std::size_t> dims = scales.size() == 1 ? std::vector<std::size_t>{} : std::vector{scales.size()};
  const auto& scale = graph.initializer(integers + ".scale", dims, scales);
  const auto& zero = graph.initializer(integers + ".zero_point", dims, std::vector<T>(scales.size(), zero_point));
  return graph.node("DequantizeLinear", {integers, scale, zero}, integers + ".dequantized",
                    {{"axis", std::int64_t(0)}});
}

/// Adds a kernel, or the matrix of a linear layer, as real numbers of shape `dims`. Its integers have type T, and
/// `zero_point` stands for 0.
template <class T>
const std::string& add_quantized_kernel(OnnxGraph& graph, const std::string& name, const std::vector<std::size_t>& dims,
                                        const quant::QuantizedWeights& numbers, T zero_point) {
  std::vector<T> integers;
  for (const std::int8_t weight : in_onnx_order(numbers.shape, numbers.weight))
    integers.push_back(T(int(weight) + int(zero_point)));
  return add_dequantization(graph, graph.initializer(name, dims, integers), numbers.scale, zero_point);
}

/// The names of a layer's kernel and bias as real numbers.
struct DequantizedLayer {
  std::string weight, bias;

  DequantizedLayer(OnnxGraph& graph, const std::string& name, const std::vector<std::size_t>& dims,
                   const quant::QuantizedConv& layer, const OnnxOptions& options) {
    const quant::QuantizedWeights& numbers = layer.weights();
    weight = options.signed_weights ? add_quantized_kernel(graph, name + ".weight", dims, numbers, std::int8_t(0))
                                    : add_quantized_kernel(graph, name + ".weight", dims, numbers, std::uint8_t(128));
    std::vector<float> sum_scales;
    for (std::size_t c = 0; c < numbers.scale.size(); ++c) sum_scales.push_back(float(layer.sum_scale(c)));
    bias = add_dequantization(graph, graph.initializer(name + ".bias", {numbers.bias.size()}, numbers.bias), sum_scales,
                              std::int32_t(0));
  }
};

/// Adds the convolution of a block. If its centre diagonal is split off, adds the product of the diagonal and x to it.
inline std::string add_quantized_conv(OnnxGraph& graph, const std::string& name, const std::string& x,
                                      const quant::QuantizedConv& layer, const OnnxOptions& options) {
  const quant::QuantizedWeights& numbers = layer.weights();
  const DequantizedLayer dequantized(graph, name, numbers.shape.dims(), layer, options);
  const std::string& y = add_conv(graph, numbers.shape, x, dequantized.weight, dequantized.bias, name);
  if (!layer.has_diagonal()) return y;
  const auto& diagonal = graph.initializer(name + ".diagonal", {1, numbers.diagonal.size(), 1, 1}, numbers.diagonal);
  const auto& factor = add_dequantization(graph, diagonal, {numbers.diagonal_scale}, std::int32_t(0));
  return graph.node("Add", {y, graph.node("Mul", {x, factor}, name + ".product")}, name + ".sum");
}

}  // namespace detail

/// Returns the bytes of an ONNX file, operator set 13, with the integers, scales and zero points of `network`: uint8
/// activations, 8-bit kernels with one scale or one for each output channel, and int32 biases. Weights and activations
/// of fewer bits use a part of the range of these types; a Clip after QuantizeLinear keeps activations within it. A
/// centre diagonal that is split off is an int32 vector with one scale; its product with the block's input is added to
/// the convolution. Inputs, outputs and exceptions are the same as those of onnx_model() for float networks.
///
/// In `network`, kernels are int8 with zero point 0. In the file they are uint8 with zero point 128, which represents
/// the same numbers, unless options.signed_weights is true. The reason: on x86 processors without VNNI, ONNX Runtime
/// adds products of uint8 and int8 in 16 bits that saturate, so its results are wrong (its documentation, "Quantize
/// ONNX models").
inline std::string onnx_model(const quant::QuantizedVgg& network, const OnnxOptions& options) {
  const std::vector<nn::BlockSpec> specs = network.config().block_specs();
  const auto& activations = network.activations();
  OnnxGraph graph;
  std::string x = detail::add_images(graph, network.config(), options);
  x = detail::add_rounding(graph, x, "images", activations.front());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const std::string y = detail::add_quantized_conv(graph, specs[i].name + ".conv", x, network.layers()[i], options);
    x = detail::add_rounding(graph, graph.node("Relu", {y}, specs[i].name), specs[i].name, activations[i + 1]);
  }
  const std::string pooled = detail::add_rounding(graph, detail::add_pooling(graph, x), "pooled", activations.back());
  const detail::DequantizedLayer linear(graph, "linear", {network.config().classes, network.config().widths.back()},
                                        network.layers().back(), options);
  return detail::finished_model(graph, network.config(), options, pooled, linear.weight, linear.bias);
}

}  // namespace repopt::io
