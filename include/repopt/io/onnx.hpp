// Writes networks as ONNX files, so that other programs can run them.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/io/model_file.hpp"
#include "repopt/io/onnx_graph.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/models/vgg.hpp"

namespace repopt::io {

/// The properties of an ONNX network's pictures, and the text in its file.
struct OnnxOptions {
  std::size_t height = 32;                        ///< height of a picture in pixels
  std::size_t width = 32;                         ///< width of a picture in pixels
  std::vector<double> mean{};                     ///< (in_channels), for pictures in 0..1; the network subtracts it
  std::vector<double> std{};                      ///< (in_channels), for pictures in 0..1; the network divides by it
  std::string description{};                      ///< the beginning of the file's doc_string
  std::map<std::string, std::string> metadata{};  ///< the file's metadata_props
  bool signed_weights = false;                    ///< whether kernels of quantized networks are int8 instead of uint8
};

namespace detail {

/// Returns a kernel in ONNX's order of dimensions, which is PyTorch's.
template <class T>
std::vector<T> in_onnx_order(const ConvShape& shape, const std::vector<T>& weight) {
  std::vector<T> elements(weight.size());
  copy_weight<T>(shape, weight, shape.in_layout(WeightLayout::oihw), std::span<T>(elements));
  return elements;
}

/// Adds a Conv node and returns its output.
inline const std::string& add_conv(OnnxGraph& graph, const ConvShape& shape, const std::string& x,
                                   const std::string& weight, const std::string& bias, const std::string& output) {
  const auto pair = [](const std::array<std::size_t, 2>& sizes) {
    return std::vector<std::int64_t>{std::int64_t(sizes[0]), std::int64_t(sizes[1])};
  };
  std::vector<std::int64_t> pads = pair(shape.padding);
  pads.insert(pads.end(), pads.begin(), pads.begin() + 2);
  return graph.node("Conv", {x, weight, bias}, output,
                    {{"dilations", pair(shape.dilation)},
                     {"group", std::int64_t(shape.groups)},
                     {"kernel_shape", pair(shape.kernel_size)},
                     {"pads", pads},
                     {"strides", pair(shape.stride)}});
}

/// Adds the input `images` and its normalisation. Returns the input of the first block.
inline const std::string& add_images(OnnxGraph& graph, const nn::VggConfig& config, const OnnxOptions& options) {
  const std::vector<std::size_t> per_channel{1, config.in_channels, 1, 1};
  for (const std::vector<double>* statistic : {&options.mean, &options.std})
    require(statistic->size() == config.in_channels, "mean and std have ", options.mean.size(), " and ",
            options.std.size(), " elements, in_channels is ", config.in_channels);
  for (const double std : options.std) require(std > 0, "std must be positive, it is ", std);
  require(options.height > 0 && options.width > 0, "the pictures are ", options.height, "x", options.width);
  const auto& images = graph.input("images", {config.in_channels, options.height, options.width});
  const auto constant = [&](const char* name, const std::vector<double>& values) {
    return graph.initializer<float>(name, per_channel, std::vector<float>(values.begin(), values.end()));
  };
  const auto& centred = graph.node("Sub", {images, constant("mean", options.mean)}, "centred");
  return graph.node("Div", {centred, constant("std", options.std)}, "normalised");
}

/// Adds global average pooling. Returns the features, (batch, channels).
inline const std::string& add_pooling(OnnxGraph& graph, const std::string& x) {
  return graph.node("Flatten", {graph.node("GlobalAveragePool", {x}, "averages")}, "pooled");
}

/// Adds the linear layer and returns the bytes of the file. Its doc_string says how to call the network.
inline std::string finished_model(OnnxGraph& graph, const nn::VggConfig& config, const OnnxOptions& options,
                                  const std::string& features, const std::string& weight, const std::string& bias) {
  graph.node("Gemm", {features, weight, bias}, "logits", {{"transB", std::int64_t(1)}});
  graph.output("logits", {config.classes});
  const std::string call =
      concat("Input 'images': float (batch, ", config.in_channels, ", ", options.height, ", ", options.width,
             "), values 0..1 (pixel / 255), not normalised: the network does that. Output 'logits': float (batch, ",
             config.classes, "), before softmax.");
  return graph.model(config.name, options.description.empty() ? call : options.description + "\n" + call,
                     options.metadata);
}

}  // namespace detail

/// Returns the bytes of an ONNX file, operator set 13, with `model` in evaluation: each block is one Conv with bias and
/// one Relu. The network takes `images`, float (batch, in_channels, height, width) in 0..1, for any batch. It returns
/// `logits`, float (batch, classes). Throws std::invalid_argument if mean and std do not fit the model, std is not
/// positive, a number is not finite, or the file would be longer than 2 GiB.
inline std::string onnx_model(const nn::Vgg<float>& model, const OnnxOptions& options) {
  const nn::VggConfig& config = model.config();
  OnnxGraph graph;
  std::string x = detail::add_images(graph, config, options);
  for (std::size_t i = 0; const nn::BlockSpec& spec : config.block_specs()) {
    const nn::FusedConv<float> fused = model.blocks()[i++]->fused();
    const std::string conv = spec.name + ".conv";
    const auto& weight =
        graph.initializer(conv + ".weight", fused.shape.dims(), detail::in_onnx_order(fused.shape, fused.weight));
    const auto& bias = graph.initializer(conv + ".bias", {fused.bias.size()}, fused.bias);
    x = graph.node("Relu", {detail::add_conv(graph, fused.shape, x, weight, bias, conv)}, spec.name);
  }
  const auto& pooled = detail::add_pooling(graph, x);
  const auto& weight = graph.initializer("linear.weight", model.linear.weight.dims, model.linear.weight.value);
  const auto& bias = graph.initializer("linear.bias", model.linear.bias.dims, model.linear.bias.value);
  return detail::finished_model(graph, config, options, pooled, weight, bias);
}

}  // namespace repopt::io
