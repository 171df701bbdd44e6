#include "repopt/quant/quantized_vgg.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "repopt/engine/conv.hpp"
#include "repopt/quant/fake_quant.hpp"
#include "repopt/quant/layer_report.hpp"
#include "repopt/quant/post_training.hpp"
#include "support/quantized_models.hpp"
#include "support/random.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::quant;
using namespace repopt::testing;

namespace {

/// The signal-to-noise ratio of the INT8 logits against the float network's, in dB.
double logits_sqnr(const Vgg<float>& model, const WeightOptions& weights, Calibration calibration,
                   int activation_bits = 8) {
  Vgg<float> plain = deployed(model);
  const std::vector<Tensor<float>> batches{random_images(11)};
  QuantizedVgg quantized(plain, calibrated(activation_histograms(plain, batches), calibration, 99.99, activation_bits),
                         weights);
  const Tensor<float> images = random_images(12);
  const std::span<const float> expected = plain.forward(images, Phase::eval).values();
  const std::span<const float> logits = quantized.forward(images).values();
  SignalToNoise ratio;
  for (std::size_t k = 0; k < expected.size(); ++k) ratio.add(double(logits[k]), double(expected[k]));
  return ratio.decibels();
}

/// Options with both schemes, several numbers of bits, and with and without split diagonals.
std::vector<WeightOptions> all_options() {
  std::vector<WeightOptions> all;
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel})
    for (const int bits : {8, 4})
      for (const int diagonal_bits : {0, 8, 16}) all.push_back({scheme, bits, diagonal_bits});
  return all;
}

/// Compares the levels of a quantized network with their definition: each layer's output is computed in double from the
/// real numbers that its inputs and weights stand for, and rounded. The diagonals count `diagonals` times.
struct Levels {
  std::size_t wrong = 0, clipped = 0, count = 0;  ///< of the outputs of blocks

  Levels(QuantizedVgg& quantized, const Tensor<float>& images, double diagonals) {
    std::vector<Tensor<std::uint8_t>> places;
    const Tensor<float>& logits =
        quantized.forward(images, [&](std::size_t, const Tensor<std::uint8_t>& x) { places.push_back(x); });
    const std::vector<Quantization>& activations = quantized.activations();
    REQUIRE(places.size() == activations.size());
    const std::size_t blocks = places.size() - 2;
    const auto real = [&](std::size_t place) {
      Tensor<double> x(places[place].shape());
      for (std::size_t k = 0; k < x.size(); ++k)
        x.values()[k] =
            double(activations[place].scale) * (int(places[place].values()[k]) - int(activations[place].zero_point));
      return x;
    };
    const auto is_level = [&](std::size_t place, std::size_t k, double value) {
      const double level = std::floor(value / double(activations[place].scale) + 0.5);
      const double largest = std::pow(2, activations[place].bits) - 1;
      return std::clamp(level, 0.0, largest) == double(places[place].values()[k]);
    };
    for (std::size_t k = 0; k < images.size(); ++k)
      wrong += places[0].values()[k] != activations[0].quantize(images.values()[k]);
    for (std::size_t i = 0; i <= blocks; ++i) {
      const QuantizedConv& layer = quantized.layers()[i];
      const QuantizedWeights& weights = layer.weights();
      ConvShape shape = weights.shape;
      shape.layout = WeightLayout::hwio;
      std::vector<double> kernel(shape.size());
      for_each_weight(shape, [&](const WeightIndex& w) {
        double& weight = kernel[shape.offset(w)];
        weight = double(weights.weight[weights.shape.offset(w)]) * double(scale_of(weights.scale, w.out));
        if (layer.has_diagonal() && w.in == w.out && w.row == 1 && w.column == 1)
          weight += diagonals * double(weights.diagonal[w.out]) * double(weights.diagonal_scale);
      });
      Tensor<double> y;
      conv_forward<double>(shape, real(i < blocks ? i : i + 1), kernel, y);
      for (std::size_t k = 0; k < y.size(); ++k) {
        const std::size_t c = k % shape.out_channels;
        const double value = y.values()[k] + weights.bias[c] * layer.sum_scale(c);
        if (i == blocks) {
          wrong += double(logits.values()[k]) != doctest::Approx(value).epsilon(1e-6);
        } else {
          wrong += !is_level(i + 1, k, value);
          clipped += places[i + 1].values()[k] == activations[i + 1].largest_level();
          ++count;
        }
      }
    }
    Tensor<double> last = real(blocks);
    GlobalAveragePooling<double> pooling;
    const Tensor<double>& pooled = pooling.forward(last);
    for (std::size_t k = 0; k < pooled.size(); ++k) wrong += !is_level(blocks + 1, k, pooled.values()[k]);
  }
};

}  // namespace

TEST_CASE("Every layer of the integer network gives the level that its scales and zero points give in double") {
  for (const WeightOptions& options : all_options())
    for (const int activation_bits : {8, 5}) {
      CAPTURE(to_string(options.scheme));
      CAPTURE(options.bits);
      CAPTURE(options.diagonal_bits);
      CAPTURE(activation_bits);
      Vgg<float> model = trained_model(Mode::repvgg);
      const auto histograms = activation_histograms(model, {random_images(2)});
      QuantizedVgg quantized(model, calibrated(histograms, Calibration::mse, 99.99, activation_bits), options);
      const Levels once(quantized, random_images(3), 1);
      CHECK(once.wrong == 0);
      CHECK(once.clipped < once.count / 20);
      const bool is_split = options.diagonal_bits > 0;
      CHECK(quantized.layers()[3].has_diagonal() == is_split);
      CHECK_FALSE(quantized.layers()[2].has_diagonal());                        // 4 -> 5 channels
      CHECK((Levels(quantized, random_images(3), 2).wrong > 100) == is_split);  // the diagonals counted twice
    }
}

TEST_CASE("INT8 logits are close to the float network's for every mode, scheme and calibration") {
  for (const Mode mode : {Mode::target, Mode::repvgg, Mode::qarepvgg, Mode::deploy})
    for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel})
      for (const Calibration calibration :
           {Calibration::min_max, Calibration::percentile, Calibration::mse, Calibration::entropy}) {
        CAPTURE(to_string(mode));
        CAPTURE(to_string(scheme));
        CAPTURE(to_string(calibration));
        CHECK(logits_sqnr(trained_model(mode), {scheme}, calibration) > 15);
      }
}

TEST_CASE("Each bit more for weights and activations makes logits more accurate, four bits by about 24 dB") {
  const Vgg<float> model = trained_model(Mode::target);
  std::vector<double> ratios;
  for (int bits = 4; bits <= 8; ++bits)
    ratios.push_back(logits_sqnr(model, {Scheme::per_channel, bits}, Calibration::min_max, bits));
  for (std::size_t i = 1; i < ratios.size(); ++i) CHECK(ratios[i] > ratios[i - 1] + 2);
  CHECK(std::abs(ratios.back() - ratios.front() - 24) < 4);
}

TEST_CASE("A scale for each channel keeps logits accurate where one scale does not: for channels of uneven size") {
  Vgg<float> model = trained_model(Mode::target);
  model.visit_parameters([&](const std::string& name, Parameter<float>& p) {
    if (name.ends_with("bn.weight"))
      for (std::size_t c = 0; c < p.value.size(); ++c) p.value[c] = c == 0 ? 100 : 1;
    if (name.ends_with("bn.bias")) p.value[0] = -1000;  // ReLU turns the large channel to 0
  });
  const double tensor = logits_sqnr(model, {Scheme::per_tensor}, Calibration::min_max);
  const double channel = logits_sqnr(model, {Scheme::per_channel}, Calibration::min_max);
  CHECK(channel > 15);
  CHECK(channel > tensor + 10);
}

TEST_CASE("Wrong activations, weights, images and parameters that are not finite are refused") {
  Vgg<float> model = deployed(trained_model(Mode::target));
  const std::vector<Tensor<float>> batches{random_images(2)};
  const auto activations = calibrated(activation_histograms(model, batches), Calibration::min_max);
  const auto build = [&](std::vector<Quantization> quantizations) {
    QuantizedVgg(model, std::move(quantizations), {});
  };
  CHECK_THROWS_WITH_AS(activation_histograms(model, {}), "calibration needs pictures, there are none",
                       std::invalid_argument);
  CHECK_THROWS_AS(activation_histograms(model, {Tensor<float>({0, 8, 8, 3})}), std::invalid_argument);
  CHECK_THROWS_WITH_AS(build({}), "there are 0 quantizations, the network has 8 places for them",
                       std::invalid_argument);
  auto broken = activations;
  broken[3].zero_point = 7;
  CHECK_THROWS_WITH_AS(build(broken), "the zero point of stage2.0 must be 0, it is 7", std::invalid_argument);
  broken = activations;
  broken[0].scale = 0;
  CHECK_THROWS_WITH_AS(build(broken), "the scale of images must be finite and > 0, it is 0", std::invalid_argument);
  broken = activations;
  broken[0].bits = 9;
  CHECK_THROWS_WITH_AS(build(broken), "the bits of images must be 2 to 8, they are 9", std::invalid_argument);
  broken[0].bits = 4;
  broken[0].zero_point = 16;
  CHECK_THROWS_WITH_AS(build(broken), "the zero point of images is 16, which does not fit 4 bits",
                       std::invalid_argument);
  const auto build_with = [&](const WeightOptions& options) { QuantizedVgg(model, activations, options); };
  CHECK_THROWS_WITH_AS(build_with({.bits = 1}), "the bits of weights must be 2 to 8, they are 1",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(build_with({.diagonal_bits = 4}), doctest::Contains("centre diagonals must be 8, 16 or"),
                       std::invalid_argument);

  auto unequal = activations;
  unequal.back().scale = 1e-30F;
  CHECK_THROWS_WITH_AS(QuantizedVgg(model, unequal, {}), doctest::Contains("a fixed-point factor must be in [0, 2^30)"),
                       std::invalid_argument);

  QuantizedVgg quantized(model, activations, {});
  std::vector<QuantizedWeights> weights;
  for (const QuantizedConv& layer : quantized.layers()) weights.push_back(layer.weights());
  std::swap(weights[0], weights[1]);
  CHECK_THROWS_AS(QuantizedVgg(model.config(), weights, activations), std::invalid_argument);
  weights.pop_back();
  CHECK_THROWS_WITH_AS(QuantizedVgg(model.config(), weights, activations),
                       "there are weights of 6 layers, the network has 7", std::invalid_argument);
  CHECK_THROWS_AS(quantized.forward(Tensor<float>({1, 8, 8, 4})), std::invalid_argument);
  CHECK_THROWS_AS(fake_quantized(model, {}, {}), std::invalid_argument);

  model.visit_parameters([](const std::string& name, Parameter<float>& p) {
    if (name == "stage1.0.conv.weight") p.value[0] = float(std::numeric_limits<double>::infinity());
  });
  CHECK_THROWS_AS(activation_histograms(model, batches), std::invalid_argument);
  CHECK_THROWS_AS(build(activations), std::invalid_argument);
}
