// rep_vgg_blocks: RepVGG's blocks for the kernels of any module.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/embedding.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/libtorch/initialize.hpp"
#include "repopt/libtorch/layer_walk.hpp"
#include "repopt/libtorch/tensor_block.hpp"

namespace repopt::libtorch {

/// Options of rep_vgg_blocks().
struct RepVggOptions {
  /// Whether a layer may get a block, by its name, such as "stage1.0.conv". If empty, every layer may.
  std::function<bool(const std::string& layer)> filter{};
  /// The scale of a layer's branches by the layer's place in its stage, counted from 0. The default is the start of
  /// Hyper-Search: 1 for the first layer of a stage, then sqrt(2 / l). The identity's scale is always 1.
  std::function<double(std::size_t index_in_stage)> scale = initial_scale;
  /// Scales by name instead, such as formats::load_scales<double>(path). For the layer "stage1.0.conv" the names are
  /// those of the published files: "stage1.0.scale_conv.weight", "stage1.0.scale_1x1.weight" and, for the identity's
  /// initial weight, "stage1.0.scale_identity.weight". A layer whose own name is not "conv" keeps its name:
  /// "features.3" has "features.3.scale_conv.weight". A Linear has "scale_linear" in the place of "scale_conv".
  std::optional<Scales<double>> scales{};
  bool has_1x1 = true;       ///< whether blocks have the 1x1 branch; layers in which it does not fit then get no block
  bool has_identity = true;  ///< whether blocks have the identity where it fits
  bool linear = false;       ///< whether a Linear gets a block: its own scaled weight and, if it is square, an identity
};

/// A layer that got no block.
struct LeftOut {
  std::string layer;   ///< its name
  std::string reason;  ///< the reason in words
};

/// The blocks that rep_vgg_blocks() has made. They convert to CslaBlocks, so a RepOptimizer takes them as they are.
struct RepVggBlocks {
  /// By the kernel's name. The branches are KxK, then 1x1 and identity if the block has them.
  CslaBlocks blocks{};
  /// The names of the scales in the order of the branches, by the kernel's name.
  std::map<std::string, std::vector<std::string>> scale_names{};
  /// The initial weights of identities, (channels), by the kernel's name, if RepVggOptions::scales gave them.
  std::map<std::string, std::vector<double>> identity_weights{};
  /// All Conv1d, Conv2d, Conv3d, their transposed counterparts and, if RepVggOptions::linear, Linear layers that got no
  /// block.
  std::vector<LeftOut> left_out{};

  /// The blocks alone.
  operator const CslaBlocks&() const { return blocks; }
};

namespace detail {

/// Makes the blocks, layer by layer.
class RepVggMaker {
 public:
  explicit RepVggMaker(const RepVggOptions& options) : options_(options) {}

  void add(const Layer& layer) {
    std::string reason = layer.obstacle;
    if (reason.empty() && options_.filter && !options_.filter(layer.name)) reason = "the filter refuses it";
    if (reason.empty() && !layer.is_linear) {
      const std::string_view obstacle = embedding_obstacle(shape_1x1(layer.shape), layer.shape);
      if (options_.has_1x1 && !obstacle.empty()) reason = concat("a 1x1 branch does not embed in it: ", obstacle);
    }
    if (reason.empty())
      add_block(layer);
    else
      made_.left_out.push_back({layer.name, reason});
  }

  /// Returns the blocks. Throws std::invalid_argument if a given scale was not used.
  RepVggBlocks finish() {
    if (options_.scales)
      for (const auto& [name, scale] : *options_.scales)
        require(std::ranges::find(used_, name) != used_.end(), "there is a scale '", name, "', but no such branch");
    return std::move(made_);
  }

 private:
  /// The 1x1 convolution that reads the target's centre taps. If there is no such convolution, it does not embed.
  static ConvShape shape_1x1(ConvShape shape) {
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const std::size_t margin = shape.dilation[axis] * (shape.kernel_size[axis] - 1) / 2;
      shape.padding[axis] -= std::min(shape.padding[axis], margin);
    }
    shape.kernel_size = shape.dilation = {1, 1};
    return shape;
  }

  void add_block(const Layer& layer) {
    const std::string kernel = name_below(layer.name, "weight");
    const Branch<double> identity = Branch<double>::identity(layer.shape.out_channels);
    std::vector<Branch<double>> branches;
    std::vector<std::string>& names = made_.scale_names[kernel];
    const auto add_branch = [&](const ConvShape& shape, const char* kind) {
      names.push_back(scale_name(layer.name, kind));
      branches.emplace_back(shape, scale(names.back(), layer));
    };
    add_branch(layer.shape, layer.is_linear ? "scale_linear" : "scale_conv");
    if (options_.has_1x1 && !layer.is_linear) add_branch(shape_1x1(layer.shape), "scale_1x1");
    if (options_.has_identity && embeds(identity.shape, layer.shape)) {
      names.push_back(scale_name(layer.name, "scale_identity"));
      if (options_.scales) made_.identity_weights[kernel] = scale(names.back(), layer);
      branches.push_back(identity);
    }
    made_.blocks.emplace(kernel, CslaBlock<double>(layer.shape, std::move(branches)));
  }

  static std::string scale_name(std::string layer, const char* kind) {
    const std::size_t dot = layer.rfind('.'), own = dot == layer.npos ? 0 : dot + 1;
    if (layer.substr(own) == "conv") layer.resize(own == 0 ? 0 : dot);
    return name_below(layer, concat(kind, ".weight"));
  }

  std::vector<double> scale(const std::string& name, const Layer& layer) {
    const std::size_t channels = layer.shape.out_channels;
    if (!options_.scales) return std::vector<double>(channels, options_.scale(layer.index_in_stage));
    const auto found = options_.scales->find(name);
    require(found != options_.scales->end(), "the scales lack '", name, "'");
    require(found->second.size() == channels, "'", name, "' has ", found->second.size(), " elements, out_channels is ",
            channels);
    used_.push_back(name);
    return found->second;
  }

  const RepVggOptions& options_;
  RepVggBlocks made_;
  std::vector<std::string> used_;  ///< names in options_.scales
};

}  // namespace detail

/// Gives RepVGG's block (KxK and 1x1 with scales and, where input and output agree, an identity) to every Conv2d of a
/// module whose kernel is larger than 1x1. It takes the layers in the order in which they are registered, in the module
/// and in all modules below it.
///
///     const auto blocks = repopt::libtorch::rep_vgg_blocks(*model);
///     repopt::libtorch::initialize(*model, blocks);
///     repopt::libtorch::RepSgd optimizer(*model, blocks, torch::optim::SGDOptions(0.1).momentum(0.9).nesterov(true));
///
/// A stage, in which scales fall as sqrt(2 / l), begins at a layer whose stride is greater than 1, whose channels
/// change, or whose input channels are not the output channels of the layer before. 1x1 convolutions are not counted.
/// A stage that begins in no such way is not recognised; give its scales by name.
///
/// Any padding mode, groups, dilation, torch::kSame and torch::kValid are allowed. A layer is left out, and
/// RepVggBlocks::left_out says why, if it is another kind of convolution or a 1x1 convolution. A convolution whose
/// kernel has no centre tap or too little padding for a 1x1 branch is left out, too, unless RepVggOptions::has_1x1 is
/// false. It then gets a block of one branch: its own kernel with a scale. Throws std::invalid_argument if a given
/// scale is missing, has another length than out_channels, is not finite, or belongs to no branch.
inline RepVggBlocks rep_vgg_blocks(const torch::nn::Module& module, const RepVggOptions& options = {}) {
  detail::RepVggMaker maker(options);
  for (const detail::Layer& layer : detail::layers_of(module, options.linear)) maker.add(layer);
  return maker.finish();
}

/// Draws initial weights as draw_branch_weights() does for CslaBlocks. Identities get RepVggBlocks::identity_weights.
inline BranchWeights draw_branch_weights(const torch::nn::Module& module, const RepVggBlocks& blocks) {
  BranchWeights weights = draw_branch_weights(module, blocks.blocks);
  for (const auto& [kernel, values] : blocks.identity_weights)
    if (const auto drawn = weights.find(kernel); drawn != weights.end())
      drawn->second.back() = torch::tensor(values, drawn->second.back().options());
  return weights;
}

/// The Rule of Initialization with these weights; see initialize() for CslaBlocks.
inline void initialize(torch::nn::Module& module, const RepVggBlocks& blocks) {
  initialize(module, blocks.blocks, draw_branch_weights(module, blocks));
}

}  // namespace repopt::libtorch
