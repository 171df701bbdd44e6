// How a run starts: the constants of its blocks, and its network.
#pragma once

#include <filesystem>
#include <utility>

#include "options.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "training/run_file.hpp"
#include "training/scales_option.hpp"

namespace repopt_cifar {

/// The constants of the run's CSLA blocks; empty for the modes without. A run that `resumes` needs no file of them.
template <class T>
repopt::Scales<T> run_scales(const TrainOptions& options, const repopt::nn::VggConfig& config, bool resumes) {
  if (options.scales.empty()) return {};
  const bool is_file = options.scales != "sqrt" && options.scales != "ones";
  const bool saved = is_file && resumes && options.mode != "hyper_search" && !std::filesystem::exists(options.scales);
  const repopt::nn::Prior prior = repopt::nn::prior_of_name(options.prior);
  if (saved) return repopt::nn::ones_scales<T>(config, prior);  // stand-ins: the checkpoint holds the real ones
  auto scales = named_scales<T>(options.scales, config, prior);
  if (options.average_scales)
    scales = repopt::formats::bind_scales(repopt::nn::averaged_over_channels(std::move(scales)),
                                          repopt::nn::scale_lengths(config, prior),
                                          options.scales + ", averaged over the channels");
  if (const auto weight = identity_weight(options.identity_init))
    scales = repopt::nn::with_identity_weight(std::move(scales), *weight);
  return repopt::nn::with_scale_factor(std::move(scales), options.scale_factor);
}

/// The network of a run, as it starts.
template <class T>
repopt::nn::Vgg<T> initial_model(const TrainOptions& options, const repopt::nn::VggConfig& config,
                                 const repopt::Scales<T>& scales) {
  if (trains_folded(options.mode)) return repopt::nn::plain_vgg<T>(config, options.seed);
  if (options.mode != "rep") return repopt::nn::build_vgg<T>(config, network_mode(options.mode), options.seed, scales);
  if (options.initialization == "ordinary") return repopt::nn::plain_vgg<T>(config, options.seed);
  return repopt::nn::target_from_prior<T>(config, options.seed, scales);
}

}  // namespace repopt_cifar
