// Quantization-aware fine-tuning: training that sees what 8 bits will round.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "data/pictures.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/quantization.hpp"
#include "training/network.hpp"

namespace repopt_cifar {

/// How to fine-tune: SGD of Nesterov momentum 0.9 without weight decay, the learning rate falling as a cosine.
struct FineTuneOptions {
  std::size_t epochs = 1, batch_size = 128;
  double lr = 1e-3;
  std::uint64_t seed = 0;
  std::string scales;  ///< a file, "sqrt", "ones", or "none" for no multiplier; empty: as the network was trained
};

/// Trains the deployed network of `network` with weights and activations rounded as `activations` and `scheme` say.
/// A network of mode rep keeps RepOptimizer's multiplier: that of its blocks with their batch norms folded. Throws
/// std::invalid_argument or std::runtime_error if an option or the scales do not fit, or the loss is no number any
/// more.
repopt::nn::Vgg<float> fine_tuned(const Network& network, const std::vector<repopt::quant::Quantization>& activations,
                                  repopt::quant::Scheme scheme, const repopt::io::ImageDataset& pictures,
                                  const FineTuneOptions& options);

}  // namespace repopt_cifar
