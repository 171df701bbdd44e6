// VggConfig: the dimensions of a network's architecture.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/engine/conv_algorithm.hpp"

namespace repopt::nn {

/// The requirements of a network on one of its blocks: a 3x3 convolution, or another block with the same input and
/// output shapes.
struct BlockSpec {
  std::string name;                                  ///< "stage0", "stage1.0", ...
  ConvShape shape;                                   ///< shape of the 3x3 convolution, HWIO
  std::size_t index = 0;                             ///< index in the network
  std::size_t index_in_stage = 0;                    ///< index in its stage; block 0 has the stage's stride
  ConvAlgorithm algorithm = ConvAlgorithm::fastest;  ///< algorithm of the block's convolutions

  /// Whether backward() must compute the gradient of the block's input. The first block does not need it: its input is
  /// the images, which are not trained.
  bool requires_input_grad() const { return index > 0; }

  /// The shape of the 1x1 branch beside the 3x3 convolution.
  ConvShape shape_1x1() const {
    ConvShape shape_1x1 = shape;
    shape_1x1.kernel_size = {1, 1};
    shape_1x1.padding = {0, 0};
    return shape_1x1;
  }

  /// Whether input and output have the same shape. The block then has an identity branch.
  bool has_identity() const {
    return shape.in_channels == shape.out_channels && shape.stride == std::array<std::size_t, 2>{1, 1};
  }
};

/// The dimensions of RepOpt-VGG: stage 0 is one block; four stages follow, each of which starts with its stride; then
/// come global average pooling and a linear layer.
struct VggConfig {
  std::string name = "custom";                        ///< name of the preset, e.g. "B1"
  std::size_t stem = 64;                              ///< channels of stage 0
  std::array<std::size_t, 4> widths{};                ///< channels of stages 1 to 4
  std::array<std::size_t, 4> blocks{};                ///< number of blocks of stages 1 to 4
  std::array<std::size_t, 5> strides{1, 1, 2, 2, 2};  ///< strides of the first blocks of stages 0 to 4
  std::size_t classes = 10;                           ///< out_features of the linear layer
  std::size_t in_channels = 3;                        ///< channels of the images
  double bn_eps = 1e-5;                               ///< eps of every batch norm
  double bn_momentum = 0.1;                           ///< momentum of every batch norm
  ConvAlgorithm algorithm = ConvAlgorithm::fastest;   ///< algorithm of every convolution

  /// Returns the blocks from input to output. Throws std::invalid_argument if a dimension is zero.
  std::vector<BlockSpec> block_specs() const {
    std::vector<BlockSpec> specs;
    std::size_t channels = in_channels;
    const auto add = [&](std::string block_name, std::size_t width, std::size_t stride, std::size_t index_in_stage) {
      const ConvShape shape{
          .in_channels = channels, .out_channels = width, .stride = {stride, stride}, .layout = WeightLayout::hwio};
      shape.validate();
      specs.push_back({std::move(block_name), shape, specs.size(), index_in_stage, algorithm});
      channels = width;
    };
    add("stage0", stem, strides[0], 0);
    for (std::size_t stage = 0; stage < 4; ++stage) {
      require(blocks[stage] > 0, "stage ", stage + 1, " of model '", name, "' has no block");
      for (std::size_t i = 0; i < blocks[stage]; ++i)
        add(concat("stage", stage + 1, ".", i), widths[stage], i == 0 ? strides[stage + 1] : 1, i);
    }
    require(classes > 0, "model '", name, "' has no class");
    return specs;
  }
};

/// Returns the presets: CIFAR's for 32x32 images and 10 classes, and the published ones for ImageNet's 1000 classes.
inline std::span<const VggConfig> vgg_presets() {
  constexpr std::array<std::size_t, 5> cifar{1, 1, 2, 2, 2}, imagenet{2, 2, 2, 2, 2};
  static const std::array<VggConfig, 8> presets{{
      {"cifar-small", 32, {32, 64, 128, 256}, {1, 2, 2, 1}, cifar, 10},
      {"cifar-vgg", 64, {64, 128, 256, 512}, {2, 4, 6, 1}, cifar, 10},
      {"cifar-deep", 16, {16, 32, 64, 128}, {4, 6, 16, 1}, cifar, 10},
      {"A0", 48, {48, 96, 192, 1280}, {2, 4, 14, 1}, imagenet, 1000},
      {"B1", 64, {128, 256, 512, 2048}, {4, 6, 16, 1}, imagenet, 1000},
      {"B2", 64, {160, 320, 640, 2560}, {4, 6, 16, 1}, imagenet, 1000},
      {"L1", 64, {128, 256, 512, 2048}, {8, 14, 24, 1}, imagenet, 1000},
      {"L2", 64, {160, 320, 640, 2560}, {8, 14, 24, 1}, imagenet, 1000},
  }};
  return presets;
}

/// Returns the preset of that name. Throws std::invalid_argument if there is none; the message lists the names.
inline VggConfig vgg_preset(std::string_view name) {
  const auto presets = vgg_presets();
  const auto found = std::ranges::find(presets, name, &VggConfig::name);
  std::string names;
  for (const VggConfig& preset : presets) names += (names.empty() ? "" : ", ") + preset.name;
  require(found != presets.end(), "there is no model '", name, "'; the models are ", names);
  return *found;
}

}  // namespace repopt::nn
