// LayerReport: what quantization costs in each block of a network, and why.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/blocks/fused_conv.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/quant/calibration.hpp"
#include "repopt/quant/post_training.hpp"
#include "repopt/quant/quantization.hpp"
#include "repopt/quant/quantized_conv.hpp"
#include "repopt/quant/quantized_vgg.hpp"
#include "repopt/quant/weight_rounding.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::quant {

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
  double diagonal_largest = 0;   ///< largest absolute weight of its centre diagonal; 0 if it has none
  double identity_scale = 0;     ///< largest |gamma| / sigma of its identity's batch norm; 0 if it has none
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
  const bool has_diagonal = has_centre_diagonal(conv.shape);
  for_each_weight(conv.shape, [&](const WeightIndex& w) {
    const auto weight = double(conv.weight[conv.shape.offset(w)]);
    const bool is_on_diagonal = has_diagonal && is_on_centre_diagonal(conv.shape, w);
    double rounded = double(quantized.weight[quantized.shape.offset(w)]) * double(scale_of(quantized.scale, w.out));
    if (is_on_diagonal && !quantized.diagonal.empty())
      rounded += double(quantized.diagonal[w.out]) * double(quantized.diagonal_scale);
    weights.add(rounded, weight);
    sum += weight;
    squares += weight * weight;
    report.weight_largest = std::max(report.weight_largest, std::abs(weight));
    if (is_on_diagonal) report.diagonal_largest = std::max(report.diagonal_largest, std::abs(weight));
  });
  const double count = double(conv.weight.size()), mean = sum / count;
  report.weight_std = std::sqrt(std::max(0.0, squares / count - mean * mean));
  report.weight_sqnr = weights.decibels();
}

/// Throws std::invalid_argument unless both networks have the same blocks.
inline void require_same_blocks(const nn::VggConfig& model, const nn::VggConfig& quantized) {
  const std::vector<nn::BlockSpec> specs = model.block_specs(), others = quantized.block_specs();
  require(specs.size() == others.size(), "the network has ", specs.size(), " blocks, the quantized network has ",
          others.size());
  for (std::size_t i = 0; i < specs.size(); ++i)
    require(specs[i].name == others[i].name && specs[i].shape == others[i].shape, "block ", i, " is ", specs[i].name,
            " [", describe(specs[i].shape), "], in the quantized network it is ", others[i].name, " [",
            describe(others[i].shape), "]");
}

/// Throws std::invalid_argument unless there is a histogram with values for each of the `names`.
inline void require_histograms(const std::vector<std::string>& names, const std::vector<Histogram>& histograms) {
  require(histograms.size() == names.size(), "there are ", histograms.size(), " histograms, the network has ",
          names.size(), " places for them");
  for (std::size_t place = 0; place < names.size(); ++place)
    require(histograms[place].total() > 0, "the histogram of ", names[place], " has no values");
}

}  // namespace detail

/// Compares `quantized` with the network `model` that it was made from, and returns a report for each block.
/// `histograms` are those of the calibration, in the order of activation_names(); `images` are the images to compare
/// on. Throws std::invalid_argument if the two networks have different blocks, the number of histograms is wrong or one
/// has no values, or if there are no images or they do not fit.
inline std::vector<LayerReport> layer_reports(nn::Vgg<float>& model, QuantizedVgg& quantized,
                                              const std::vector<Histogram>& histograms,
                                              const nn::Tensor<float>& images) {
  const std::vector<std::string> names = activation_names(model.config());
  detail::require_same_blocks(model.config(), quantized.config());
  detail::require_histograms(names, histograms);
  require(images.shape().batch > 0, "there are no images to compare on");
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

/// Sets the identity scales of the reports to those of `trained`, the network before its batch norms were folded: the
/// largest |weight| / sqrt(running_var + eps) of each block's bn_identity. Blocks without one are left alone.
inline void add_identity_scales(std::vector<LayerReport>& reports, nn::Vgg<float>& trained) {
  std::map<std::string, std::vector<float>> numbers;
  trained.visit_parameters([&](const std::string& name, const nn::Parameter<float>& parameter) {
    if (name.find(".bn_identity.") != name.npos) numbers[name] = parameter.value;
  });
  for (LayerReport& report : reports) {
    const auto gamma = numbers.find(report.name + ".bn_identity.weight");
    if (gamma == numbers.end()) continue;
    const std::vector<float>& variance = numbers.at(report.name + ".bn_identity.running_var");
    for (std::size_t c = 0; c < variance.size(); ++c)
      report.identity_scale =
          std::max(report.identity_scale,
                   std::abs(double(gamma->second[c])) / std::sqrt(double(variance[c]) + trained.config().bn_eps));
  }
}

}  // namespace repopt::quant
