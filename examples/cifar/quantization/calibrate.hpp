// Post-training quantization, as `quantize` and `export-onnx --int8` do it.
#pragma once

#include <vector>

#include "options.hpp"
#include "repopt/io/cifar.hpp"
#include "repopt/quant/post_training.hpp"
#include "training/network.hpp"

namespace repopt_cifar {

/// A network as it is deployed, and how its numbers become 8 bits.
struct CalibratedNetwork {
  repopt::nn::Vgg<float> plain;
  std::vector<repopt::nn::Tensor<float>> batches;  ///< the pictures that it was calibrated on
  std::vector<repopt::quant::Histogram> histograms;
  std::vector<repopt::quant::Quantization> activations;
  repopt::quant::Scheme scheme;
};

/// Calibrates on training pictures. Throws std::invalid_argument if an option is wrong, or a number is not finite.
CalibratedNetwork calibrate(const Network& network, const repopt::io::ImageDataset& pictures,
                            const QuantizeOptions& options);

}  // namespace repopt_cifar
