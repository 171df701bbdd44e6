// layers_of: the convolutions of a module, and each one's place in its stage.
#pragma once

#include <torch/enum.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "repopt/core/conv_shape.hpp"

namespace repopt::libtorch::detail {

/// The name of something below a module: "stage1.0.conv". `module` is empty for the module at the top.
inline std::string name_below(const std::string& module, const std::string& name) {
  return module.empty() ? name : module + "." + name;
}

/// A convolution or fully connected layer.
struct Layer {
  std::string name;                ///< its name in the module, such as "stage1.0.conv"; empty for the module itself
  ConvShape shape{};               ///< OIHW; meaningful if there is no obstacle
  std::size_t index_in_stage = 0;  ///< counted from 0
  bool is_linear = false;          ///< whether it is a Linear
  std::string obstacle{};          ///< the reason why the layer cannot have a block; empty if it can
};

/// Collects layers in the order in which they are registered.
class LayerWalk {
 public:
  /// Linear layers are visited only on request.
  explicit LayerWalk(bool takes_linear) : takes_linear_(takes_linear) {}

  /// Visits a module of that name and all modules below it.
  void visit(const torch::nn::Module& module, const std::string& name) {
    using namespace torch::nn;
    if (const auto* conv = module.as<Conv2dImpl>())
      add_conv(name, conv->options);
    else if (const auto* linear = module.as<LinearImpl>())
      add_linear(name, linear->options);
    else if (module.as<Conv1dImpl>() || module.as<Conv3dImpl>())
      layers_.push_back({.name = name, .obstacle = "only convolutions in two dimensions get blocks"});
    else if (module.as<ConvTranspose1dImpl>() || module.as<ConvTranspose2dImpl>() || module.as<ConvTranspose3dImpl>())
      layers_.push_back({.name = name, .obstacle = "it is a transposed convolution"});
    for (const auto& child : module.named_children()) visit(*child.value(), name_below(name, child.key()));
  }

  /// The layers so far.
  const std::vector<Layer>& layers() const { return layers_; }

 private:
  void add_conv(const std::string& name, const auto& options) {
    Layer layer{.name = name};
    ConvShape& shape = layer.shape;
    shape.in_channels = std::size_t(options.in_channels());
    shape.out_channels = std::size_t(options.out_channels());
    shape.groups = std::size_t(options.groups());
    for (std::size_t axis = 0; axis < 2; ++axis) {
      shape.kernel_size[axis] = std::size_t(options.kernel_size()->at(axis));
      shape.stride[axis] = std::size_t(options.stride()->at(axis));
      shape.dilation[axis] = std::size_t(options.dilation()->at(axis));
      // Without a namespace, because old LibTorch has its own variant, and new LibTorch has std::variant.
      const auto* numbers = get_if<torch::ExpandingArray<2>>(&options.padding());
      const bool is_same = get_if<torch::enumtype::kSame>(&options.padding());
      const std::size_t reach = shape.dilation[axis] * (shape.kernel_size[axis] - 1);
      shape.padding[axis] = numbers ? std::size_t((*numbers)->at(axis)) : is_same ? reach / 2 : 0;
      if (is_same && reach % 2 != 0) layer.obstacle = "torch::kSame pads its two sides differently";
    }
    if (shape.taps() == 1)
      layer.obstacle = "a 1x1 convolution has no place for other branches";
    else
      count(layer);
    layers_.push_back(layer);
  }

  void add_linear(const std::string& name, const torch::nn::LinearOptions& options) {
    if (!takes_linear_) return;
    const auto in = std::size_t(options.in_features()), out = std::size_t(options.out_features());
    Layer layer{.name = name, .shape = ConvShape::linear(in, out), .is_linear = true};
    count(layer);
    layers_.push_back(layer);
  }

  /// Finds the layer's place in its stage.
  void count(Layer& layer) {
    const ConvShape& shape = layer.shape;
    const bool begins_stage = shape.stride[0] > 1 || shape.stride[1] > 1 || shape.in_channels != shape.out_channels ||
                              shape.in_channels != last_channels_;
    next_index_ = begins_stage ? 0 : next_index_;
    layer.index_in_stage = next_index_++;
    last_channels_ = shape.out_channels;
  }

  bool takes_linear_;
  std::vector<Layer> layers_;
  std::size_t next_index_ = 0, last_channels_ = 0;
};

/// Returns all convolutions below `module` and, if `takes_linear`, all Linear layers, in the order in which they are
/// registered. `module` itself may be one.
inline std::vector<Layer> layers_of(const torch::nn::Module& module, bool takes_linear) {
  LayerWalk walk(takes_linear);
  walk.visit(module, "");
  return walk.layers();
}

}  // namespace repopt::libtorch::detail
