// Post-training quantization: calibrates a trained network on images.
#pragma once

#include <cstddef>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/layers/pooling.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/calibration.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/quantized_vgg.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

/// Runs the network in evaluation mode, without its linear layer, and calls visit(place, tensor) with the activation at
/// each of the places of activation_names(). This replaces the results of the model's last forward pass, so backward()
/// needs a new one. Throws std::invalid_argument if the images do not fit.
template <class T>
void visit_activations(nn::Vgg<T>& model, const nn::Tensor<T>& images, auto visit) {
  nn::LazyTensor<T> x = images;
  nn::Tensor<T> memory;
  std::size_t place = 0;
  visit(place++, images);
  for (const auto& block : model.blocks()) {
    x = block->forward(x, nn::Phase::eval);
    visit(place++, x.evaluate(memory));
  }
  nn::GlobalAveragePooling<T> pooling;
  visit(place, pooling.forward(x));
}

/// The histograms of the activations on some images, in the order of activation_names(). As visit_activations(), this
/// replaces the results of the model's last forward pass. Throws std::invalid_argument if there are no images or an
/// activation is not finite.
template <class T>
std::vector<Histogram> activation_histograms(nn::Vgg<T>& model, const std::vector<nn::Tensor<T>>& batches) {
  std::size_t pictures = 0;
  for (const nn::Tensor<T>& batch : batches) pictures += batch.shape().batch;
  require(pictures > 0, "calibration needs pictures, there are none");
  std::vector<Range> ranges(activation_names(model.config()).size());
  for (const nn::Tensor<T>& batch : batches)
    visit_activations(model, batch, [&](std::size_t place, const nn::Tensor<T>& x) {
      for (const T value : x.values()) ranges[place].include(double(value));
    });
  std::vector<Histogram> histograms(ranges.begin(), ranges.end());
  for (const nn::Tensor<T>& batch : batches)
    visit_activations(model, batch, [&](std::size_t place, const nn::Tensor<T>& x) {
      for (const T value : x.values()) histograms[place].add(double(value));
    });
  return histograms;
}

/// A quantization of `bits` bits for each histogram, of its calibrated_range(). Throws what calibrated_range() throws.
inline std::vector<Quantization> calibrated(const std::vector<Histogram>& histograms, Calibration calibration,
                                            double percentile = default_percentile, int bits = 8) {
  std::vector<Quantization> quantizations;
  for (const Histogram& histogram : histograms) {
    const Range range = calibrated_range(histogram, calibration, percentile, bits);
    quantizations.push_back(Quantization::of_range(range.low, range.high, bits));
  }
  return quantizations;
}

}  // namespace repopt::quant
