// Post-training quantization: calibrates a trained network on images, and reports what 8 bits cost in each block.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/blocks/block.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/layers/pooling.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/calibration.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/quantized_vgg.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

/// Runs the network in evaluation mode, without its linear layer, and calls visit(place, tensor) with the activation at
/// each of the places of activation_names(). Throws std::invalid_argument if the images do not fit.
template <class T>
void visit_activations(const nn::Vgg<T>& model, const nn::Tensor<T>& images, auto visit) {
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

/// The histograms of the activations on some images, in the order of activation_names(). Throws std::invalid_argument
/// if there are no images or an activation is not finite.
template <class T>
std::vector<Histogram> activation_histograms(const nn::Vgg<T>& model, const std::vector<nn::Tensor<T>>& batches) {
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

/// A quantization for each histogram, of its calibrated_range(). Throws what calibrated_range() throws.
inline std::vector<Quantization> calibrated(const std::vector<Histogram>& histograms, Calibration calibration,
                                            double percentile = 99.99) {
  std::vector<Quantization> quantizations;
  for (const Histogram& histogram : histograms) {
    const Range range = calibrated_range(histogram, calibration, percentile);
    quantizations.push_back(Quantization::of_range(range.low, range.high));
  }
  return quantizations;
}

/// The signal-to-noise ratio of powers: sum reference^2 / sum (value - reference)^2.
class SignalToNoise {
 public:
  /// Adds a value and the reference that it should equal.
  void add(double value, double reference) {
    signal_ += reference * reference;
    noise_ += (value - reference) * (value - reference);
  }

  /// The ratio in decibels; infinity if there is no noise.
  double decibels() const {
    return noise_ > 0 ? 10 * std::log10(signal_ / noise_) : std::numeric_limits<double>::infinity();
  }

 private:
  double signal_ = 0, noise_ = 0;
};

/// The effect of quantization on a block.
struct LayerReport {
  std::string name;              ///< name of the block, e.g. "stage1.0"
  double weight_std = 0;         ///< standard deviation of the folded kernel
  double weight_largest = 0;     ///< largest absolute weight of the folded kernel
  double weight_sqnr = 0;        ///< signal to quantization noise of the kernel, in dB
  double output_seen = 0;        ///< the largest output in calibration
  double output_clipped_at = 0;  ///< the largest output that can be represented
  double outliers = 0;           ///< share of the outputs in calibration that are clipped
  double output_sqnr = 0;        ///< signal to noise of the output, with the errors of earlier layers, in dB
};

namespace detail {

inline void report_weights(const nn::FusedConv<float>& conv, const QuantizedWeights& quantized, LayerReport& report) {
  SignalToNoise weights;
  double sum = 0, squares = 0;
  for_each_weight(conv.shape, [&](const WeightIndex& w) {
    const auto weight = double(conv.weight[conv.shape.offset(w)]);
    weights.add(double(quantized.weight[quantized.shape.offset(w)]) * double(scale_of(quantized.scale, w.out)), weight);
    sum += weight;
    squares += weight * weight;
    report.weight_largest = std::max(report.weight_largest, std::abs(weight));
  });
  const double count = double(conv.weight.size()), mean = sum / count;
  report.weight_std = std::sqrt(std::max(0.0, squares / count - mean * mean));
  report.weight_sqnr = weights.decibels();
}

}  // namespace detail

/// Compares `quantized` with the network `model` that it was made from, and returns a report for each block.
/// `histograms` are those of the calibration; `images` are the images to compare on.
inline std::vector<LayerReport> layer_reports(const nn::Vgg<float>& model, QuantizedVgg& quantized,
                                              const std::vector<Histogram>& histograms,
                                              const nn::Tensor<float>& images) {
  const std::vector<std::string> names = activation_names(model.config());
  const std::size_t blocks = model.blocks().size();
  std::vector<LayerReport> reports(blocks);
  std::vector<std::vector<double>> expected(names.size());
  visit_activations(model, images, [&](std::size_t place, const nn::Tensor<float>& x) {
    expected[place].assign(x.values().begin(), x.values().end());
  });
  std::vector<SignalToNoise> noise(names.size());
  quantized.forward(images, [&](std::size_t place, const nn::Tensor<std::uint8_t>& x) {
    for (std::size_t k = 0; k < x.size(); ++k)
      noise[place].add(double(quantized.activations()[place].dequantize(x.values()[k])), expected[place][k]);
  });
  for (std::size_t i = 0; i < blocks; ++i) {
    LayerReport& report = reports[i];
    report.name = names[i + 1];
    detail::report_weights(model.blocks()[i]->fused(), quantized.layers()[i].weights(), report);
    const Quantization& output = quantized.activations()[i + 1];
    report.output_seen = histograms[i + 1].range().high;
    report.output_clipped_at = double(output.high());
    report.outliers = double(histograms[i + 1].outside({0, double(output.high())})) / double(histograms[i + 1].total());
    report.output_sqnr = noise[i + 1].decibels();
  }
  return reports;
}

}  // namespace repopt::quant
