// Quantization-aware fine-tuning: training whose forward pass rounds as the integers will.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/pictures.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/weight_rounding.hpp"
#include "training/network.hpp"

namespace repopt_cifar {

/// How to fine-tune. The rule is SGD with Nesterov momentum 0.9 and without weight decay. The learning rate falls from
/// `lr` to 0 as a half cosine.
struct FineTuneOptions {
  std::size_t epochs = 1, batch_size = 128;
  double lr = 1e-3;
  std::uint64_t seed = 0;
  std::string scales;  ///< a file, "sqrt", "ones", or "none" for no multiplier; empty: those of the network's training
};

/// Deploys `network` and trains it, with activations rounded by `activations` and weights by `weights`. A network of
/// mode rep keeps RepOptimizer's multiplier: that of its blocks with their batch norms folded. Throws
/// std::invalid_argument or std::runtime_error if an option or the scales do not fit, or if the loss becomes NaN or
/// infinite.
repopt::nn::Vgg<float> fine_tuned(const Network& network, const std::vector<repopt::quant::Quantization>& activations,
                                  const repopt::quant::WeightOptions& weights, const repopt::io::ImageDataset& pictures,
                                  const FineTuneOptions& options);

}  // namespace repopt_cifar
