// The priors with which a Vgg can be trained folded: the branches of a block, their names and their initial scales.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/folded_branch.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"

namespace repopt::nn {

/// A prior structure: the branches of each block. A scale for each channel follows every branch, and one batch norm
/// follows their sum.
///
/// - repvgg: 3x3, 1x1 and, if input and output have the same shape, an identity (arXiv 2101.03697).
/// - average: 3x3, 1x1, 1x1 then average pooling.
/// - dbb: Diverse Branch Block: 3x3, 1x1, 1x1 then 3x3, 1x1 then average pooling (arXiv 2103.13425).
/// - edge: 3x3, 1x1 then Sobel's filters and Laplace's, 1x1 then 3x3 (ECBSR, ACM MM 2021).
/// - asymmetric: 3x3, 1x3, 3x1 (ACNet, arXiv 1908.03930).
/// - orepa: 3x3, 1x1, 1x1 then average pooling, 1x1 then frequencies, 1x1 then 3x3 (arXiv 2204.00826). The scales start
///   at 0.25, 1, 0.25, 0 and 0.5.
enum class Prior { repvgg, average, dbb, edge, asymmetric, orepa };

/// All priors, and their names in the same order.
/// @{
inline constexpr std::array priors{Prior::repvgg, Prior::average,    Prior::dbb,
                                   Prior::edge,   Prior::asymmetric, Prior::orepa};
inline constexpr std::array<std::string_view, priors.size()> prior_names{"repvgg", "average",    "dbb",
                                                                         "edge",   "asymmetric", "orepa"};
/// @}

/// The prior's name, e.g. "dbb".
constexpr std::string_view to_string(Prior prior) { return prior_names[std::size_t(prior)]; }

/// Returns the prior of that name. Throws std::invalid_argument if there is none; the message lists the names.
inline Prior prior_of_name(std::string_view name) {
  std::string names;
  for (const Prior prior : priors) {
    if (to_string(prior) == name) return prior;
    names.append(names.empty() ? "" : ", ").append(to_string(prior));
  }
  require(false, "there is no prior '", name, "'; the priors are ", names);
  return {};
}

/// Returns the kinds of a block's branches. "conv" is the 3x3 convolution, and "1x1_3x3" is a sequence.
inline std::vector<std::string_view> branch_kinds(const BlockSpec& spec, Prior prior) {
  switch (prior) {
    case Prior::average: return {"conv", "1x1", "average"};
    case Prior::dbb: return {"conv", "1x1", "1x1_3x3", "average"};
    case Prior::edge: return {"conv", "sobel_x", "sobel_y", "laplacian", "1x1_3x3"};
    case Prior::asymmetric: return {"conv", "1x3", "3x1"};
    case Prior::orepa: return {"conv", "1x1", "average", "frequency", "1x1_3x3"};
    case Prior::repvgg: break;
  }
  if (spec.has_identity()) return {"conv", "1x1", "identity"};
  return {"conv", "1x1"};
}

/// Returns the names and lengths of the scales of a network with that prior, including the identities' weights.
inline ScaleLengths scale_lengths(const VggConfig& config, Prior prior) {
  ScaleLengths lengths;
  for (const BlockSpec& spec : config.block_specs())
    for (const std::string_view kind : branch_kinds(spec, prior))
      lengths[scale_name(spec, concat("scale_", kind))] = spec.shape.out_channels;
  return lengths;
}

/// Returns the names of the presets whose scales have exactly these names and lengths, for the prior repvgg or, if the
/// name says so, for another one: "cifar-small with --prior dbb".
template <class T>
std::vector<std::string> fitting_presets(const Scales<T>& scales) {
  std::vector<std::string> names;
  const auto same = [](const auto& scale, const auto& expected) {
    return scale.first == expected.first && scale.second.size() == expected.second;
  };
  for (const Prior prior : priors)
    for (const VggConfig& preset : vgg_presets())
      if (std::ranges::equal(scales, scale_lengths(preset, prior), same))
        names.push_back(prior == Prior::repvgg ? preset.name : concat(preset.name, " with --prior ", to_string(prior)));
  return names;
}

/// All scales of a network with that prior, and the identities' weights, 1.
template <class T>
Scales<T> ones_scales(const VggConfig& config, Prior prior) {
  Scales<T> scales;
  for (const auto& [name, length] : scale_lengths(config, prior)) scales[name].assign(length, T(1));
  return scales;
}

/// The initial scales: OREPA's constants for the prior orepa, otherwise initial_scale() as in Hyper-Search. Identities'
/// weights start at 1.
template <class T>
Scales<T> initial_scales(const VggConfig& config, Prior prior) {
  const auto start = [&](const BlockSpec& spec, std::string_view kind) {
    if (kind == "identity") return 1.0;
    if (prior != Prior::orepa) return initial_scale(spec.index_in_stage);
    return kind == "1x1" ? 1.0 : kind == "1x1_3x3" ? 0.5 : kind == "frequency" ? 0.0 : 0.25;
  };
  Scales<T> scales;
  for (const BlockSpec& spec : config.block_specs())
    for (const std::string_view kind : branch_kinds(spec, prior))
      scales[scale_name(spec, concat("scale_", kind))].assign(spec.shape.out_channels, T(start(spec, kind)));
  return scales;
}

namespace detail {

/// Returns the fixed 3x3 filter of a kind of branch, (out_channels, 3, 3).
template <class T>
std::vector<T> fixed_filter(std::string_view kind, std::size_t out_channels) {
  constexpr std::array<double, 9> sobel_x{1, 0, -1, 2, 0, -2, 1, 0, -1}, sobel_y{1, 2, 1, 0, 0, 0, -1, -2, -1};
  constexpr std::array<double, 9> laplacian{0, 1, 0, 1, -4, 1, 0, 1, 0};
  const std::size_t half = out_channels / 2;
  std::vector<T> filter;
  for (std::size_t o = 0; o < out_channels; ++o)
    for (std::size_t tap = 0; tap < 9; ++tap) {
      // OREPA's frequencies are vertical in the first half of the channels and horizontal in the second half.
      const std::size_t place = o < half ? tap / 3 : tap % 3, frequency = o < half ? o + 1 : o + 1 - half;
      filter.push_back(T(kind == "sobel_x"   ? sobel_x[tap]
                         : kind == "sobel_y" ? sobel_y[tap]
                         : kind == "laplacian"
                             ? laplacian[tap]
                             : std::cos(std::numbers::pi * (double(place) + 0.5) * double(frequency) / 3)));
    }
  return filter;
}

/// Returns a branch of that kind with that scale, without names.
template <class T>
FoldedBranch<T> branch_of_kind(const BlockSpec& spec, std::string_view kind, const std::vector<T>& scale) {
  const auto with_kernel = [&](std::size_t height, std::size_t width) {
    ConvShape shape = spec.shape;
    shape.kernel_size = {height, width};
    shape.padding = {height / 2, width / 2};
    return shape;
  };
  if (kind == "identity") return FoldedBranch<T>::conv(Branch<T>::identity(spec.shape.out_channels));
  if (kind == "conv") return FoldedBranch<T>::conv({spec.shape, scale});
  if (kind == "1x1") return FoldedBranch<T>::conv({with_kernel(1, 1), scale});
  if (kind == "1x3") return FoldedBranch<T>::conv({with_kernel(1, 3), scale});
  if (kind == "3x1") return FoldedBranch<T>::conv({with_kernel(3, 1), scale});
  if (kind == "average") return FoldedBranch<T>::average({spec.shape, scale});
  if (kind == "1x1_3x3") {
    ConvShape first = with_kernel(1, 1);
    first.out_channels = first.in_channels;
    first.stride = {1, 1};
    return FoldedBranch<T>::sequence(first, spec.shape, scale);
  }
  return FoldedBranch<T>::filtered({spec.shape, scale}, fixed_filter<T>(kind, spec.shape.out_channels));
}

}  // namespace detail

/// Returns the block's branches, named like the real branches ("stage1.1.conv_1x1.weight",
/// "stage1.1.scale_1x1.weight"). `scales` holds the scales and identities' weights of the whole network. Throws
/// std::invalid_argument if a scale is missing or its length is wrong.
template <class T>
std::vector<FoldedBranch<T>> folded_branches(const BlockSpec& spec, Prior prior, const Scales<T>& scales,
                                             bool train_scales) {
  std::vector<FoldedBranch<T>> branches;
  for (const std::string_view kind : branch_kinds(spec, prior)) {
    const std::vector<T>& scale = scale_of(scales, spec, concat("scale_", kind));
    FoldedBranch<T>& branch = branches.emplace_back(detail::branch_of_kind<T>(spec, kind, scale));
    if (kind == "identity") {
      branch.weight_names = {scale_name(spec, "scale_identity")};
      branch.initial_weights = {scale};
      continue;
    }
    const std::string conv = kind == "conv" ? concat(spec.name, ".conv") : concat(spec.name, ".conv_", kind);
    branch.weight_names = {conv + ".weight"};
    if (branch.operators.size() == 2) branch.weight_names = {conv + ".0.weight", conv + ".1.weight"};
    branch.scale_name = scale_name(spec, concat("scale_", kind));
    branch.trains_scale = train_scales;
  }
  return branches;
}

}  // namespace repopt::nn
