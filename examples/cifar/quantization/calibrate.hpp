// calibrate(): the post-training quantization of `quantize` and `export-onnx --int8`.
#pragma once

#include <vector>

#include "options.hpp"
#include "repopt/io/cifar.hpp"
#include "repopt/quant/post_training.hpp"
#include "training/network.hpp"

namespace repopt_cifar {

/// A deployed network, and how to round its numbers to integers.
struct CalibratedNetwork {
  repopt::nn::Vgg<float> plain;
  std::vector<repopt::nn::Tensor<float>> batches;        ///< the pictures that it was calibrated on
  std::vector<repopt::quant::Histogram> histograms;      ///< the activations' histograms on these pictures
  std::vector<repopt::quant::Quantization> activations;  ///< how to round each activation
  repopt::quant::WeightOptions weights;                  ///< how to round the kernels
};

/// Deploys `network` and calibrates it on training pictures. Throws std::invalid_argument if an option is wrong or an
/// activation is not finite.
CalibratedNetwork calibrate(const Network& network, const repopt::io::ImageDataset& pictures,
                            const QuantizeOptions& options);

}  // namespace repopt_cifar
