// Hyper-Search: constant scales for an architecture, from formulas or from a training run with trained scales.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"

namespace repopt::nn {

/// Returns the scales with which Hyper-Search starts (arXiv 2205.15242, section 4): sqrt(2 / l) for block l of a stage;
/// 1 for the stage's first block, l = 0, and for the identities.
template <class T>
Scales<T> sqrt_scales(const VggConfig& config) {
  return initial_scales<T>(config, Prior::repvgg);
}

/// Whether the scale of that name is an identity's initial weight.
inline bool is_identity_weight(std::string_view name) { return ScaleName(name).kind == "scale_identity"; }

/// Returns `scales` with all identities' initial weights set to `weight`, in place of 1 or of the weights that a search
/// found. Throws std::invalid_argument if `weight` is not finite.
template <class T>
Scales<T> with_identity_weight(Scales<T> scales, double weight) {
  require(std::isfinite(weight), "the identities' initial weight must be finite, it is ", weight);
  for (auto& [name, values] : scales)
    if (is_identity_weight(name)) std::ranges::fill(values, T(weight));
  return scales;
}

/// Returns `scales` multiplied by `factor`, except the identities' initial weights. GradMult of these branches is then
/// multiplied by factor^2. Throws std::invalid_argument unless `factor` is positive and finite.
template <class T>
Scales<T> with_scale_factor(Scales<T> scales, double factor) {
  require(factor > 0 && std::isfinite(factor), "the factor of the scales must be > 0 and finite, it is ", factor);
  for (auto& [name, values] : scales)
    if (!is_identity_weight(name))
      for (T& value : values) value = T(double(value) * factor);
  return scales;
}

/// Returns `scales` with each number replaced by the mean over its scale's channels. This includes the identities'
/// initial weights.
template <class T>
Scales<T> averaged_over_channels(Scales<T> scales) {
  for (auto& [name, values] : scales) {
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    std::ranges::fill(values, T(sum / double(values.size())));
  }
  return scales;
}

/// Returns a model's current scales of these names. The model is a Vgg of real branches or a FoldedTraining. Throws
/// std::invalid_argument if it lacks a scale; the message names the first one.
template <template <class> class Model, class T>
Scales<T> searched_scales(Model<T>& model, const ScaleLengths& lengths) {
  Scales<T> scales;
  model.visit_parameters([&](const std::string& name, auto&& parameter) {
    if (lengths.contains(name)) scales[name].assign(parameter.value.begin(), parameter.value.end());
  });
  for (const auto& [name, length] : lengths) require(scales.contains(name), "the model has no scale '", name, "'");
  return scales;
}

/// Returns the current scales of a network of CSLA blocks, trained or constant, and the identities' weights. Throws in
/// the same case.
template <template <class> class Model, class T>
Scales<T> searched_scales(Model<T>& model) {
  return searched_scales(model, scale_lengths(model.config()));
}

/// Statistics of a search's effect on the scales, including the identities' weights.
struct ScaleDiagnostics {
  std::size_t count = 0;      ///< number of all scales
  std::size_t negative = 0;   ///< number of scales below zero
  std::size_t near_zero = 0;  ///< number of scales of magnitude below 1e-3, whose branches would hardly train
  double mean = 0;            ///< mean of all scales
  /// Mean |scale - start| divided by mean |start|. `movement` covers the scales after the convolutions, which a search
  /// is for. `identity_movement` covers the identities' weights, which weight decay also draws to zero.
  /// @{
  double movement = 0, identity_movement = 0;
  /// @}
};

/// Compares scales with the scales at the start of the search. Throws std::invalid_argument if their names or lengths
/// differ.
template <class T>
ScaleDiagnostics diagnose(const Scales<T>& scales, const Scales<T>& start) {
  ScaleDiagnostics found;
  struct Movement {
    double moved = 0, start = 0;
    double share() const { return start > 0 ? moved / start : moved; }
  } branches, identities;
  require(scales.size() == start.size(), "there are ", scales.size(), " scales, the start has ", start.size());
  for (const auto& [name, values] : scales) {
    const auto from = start.find(name);
    require(from != start.end() && from->second.size() == values.size(), "the start has no '", name, "' of ",
            values.size(), " elements");
    Movement& movement = is_identity_weight(name) ? identities : branches;
    for (std::size_t c = 0; c < values.size(); ++c) {
      const double scale = double(values[c]), began = double(from->second[c]);
      ++found.count;
      found.negative += scale < 0;
      found.near_zero += std::abs(scale) < 1e-3;
      found.mean += scale;
      movement.moved += std::abs(scale - began);
      movement.start += std::abs(began);
    }
  }
  if (found.count > 0) found.mean /= double(found.count);
  found.movement = branches.share();
  found.identity_movement = identities.share();
  return found;
}

}  // namespace repopt::nn
