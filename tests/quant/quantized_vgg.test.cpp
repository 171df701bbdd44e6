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
double logits_sqnr(const Vgg<float>& model, Scheme scheme, Calibration calibration) {
  Vgg<float> plain = deployed(model);
  const std::vector<Tensor<float>> batches{random_images(11)};
  QuantizedVgg quantized(plain, calibrated(activation_histograms(plain, batches), calibration), scheme);
  const Tensor<float> images = random_images(12);
  const std::span<const float> expected = plain.forward(images, Phase::eval).values();
  const std::span<const float> logits = quantized.forward(images).values();
  SignalToNoise ratio;
  for (std::size_t k = 0; k < expected.size(); ++k) ratio.add(double(logits[k]), double(expected[k]));
  return ratio.decibels();
}

}  // namespace

TEST_CASE("Every layer of the integer network gives the level that its scales and zero points give in double") {
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel}) {
    CAPTURE(to_string(scheme));
    Vgg<float> model = trained_model(Mode::repvgg);
    const std::vector<Tensor<float>> batches{random_images(2)};
    QuantizedVgg quantized(model, calibrated(activation_histograms(model, batches), Calibration::mse), scheme);
    const Tensor<float> images = random_images(3);
    std::vector<Tensor<std::uint8_t>> places;
    const Tensor<float>& logits =
        quantized.forward(images, [&](std::size_t, const Tensor<std::uint8_t>& x) { places.push_back(x); });
    REQUIRE(places.size() == activation_names(model.config()).size());

    const std::vector<Quantization>& activations = quantized.activations();
    const auto real = [&](std::size_t place) {
      Tensor<double> x(places[place].shape());
      for (std::size_t k = 0; k < x.size(); ++k)
        x.values()[k] =
            double(activations[place].scale) * (int(places[place].values()[k]) - int(activations[place].zero_point));
      return x;
    };
    const auto check_level = [&](std::size_t place, std::size_t k, double value) {
      const double level = std::floor(value / double(activations[place].scale) + 0.5);
      return std::clamp(level, 0.0, 255.0) == double(places[place].values()[k]);
    };
    for (std::size_t k = 0; k < images.size(); ++k)
      CHECK(places[0].values()[k] == activations[0].quantize(images.values()[k]));
    const std::size_t blocks = model.blocks().size();
    std::size_t wrong = 0, clipped = 0, count = 0;
    for (std::size_t i = 0; i <= blocks; ++i) {
      const QuantizedConv& layer = quantized.layers()[i];
      const QuantizedWeights& weights = layer.weights();
      ConvShape shape = weights.shape;
      shape.layout = WeightLayout::hwio;
      std::vector<double> kernel(shape.size());
      for_each_weight(shape, [&](const WeightIndex& w) {
        kernel[shape.offset(w)] =
            double(weights.weight[weights.shape.offset(w)]) * double(scale_of(weights.scale, w.out));
      });
      Tensor<double> y;
      conv_forward<double>(shape, real(i < blocks ? i : i + 1), kernel, y);
      for (std::size_t k = 0; k < y.size(); ++k) {
        const std::size_t c = k % shape.out_channels;
        const double value = y.values()[k] + weights.bias[c] * layer.sum_scale(c);
        if (i == blocks) {
          CHECK(double(logits.values()[k]) == doctest::Approx(value).epsilon(1e-6));
        } else {
          wrong += !check_level(i + 1, k, value);
          clipped += places[i + 1].values()[k] == 255;
          ++count;
        }
      }
    }
    Tensor<double> last = real(blocks);
    GlobalAveragePooling<double> pooling;
    const Tensor<double>& pooled = pooling.forward(last);
    for (std::size_t k = 0; k < pooled.size(); ++k) wrong += !check_level(blocks + 1, k, pooled.values()[k]);
    CHECK(wrong == 0);
    CHECK(clipped < count / 20);
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
        CHECK(logits_sqnr(trained_model(mode), scheme, calibration) > 15);
      }
}

TEST_CASE("A scale for each channel keeps logits accurate where one scale does not: for channels of uneven size") {
  Vgg<float> model = trained_model(Mode::target);
  model.visit_parameters([&](const std::string& name, Parameter<float>& p) {
    if (name.ends_with("bn.weight"))
      for (std::size_t c = 0; c < p.value.size(); ++c) p.value[c] = c == 0 ? 100 : 1;
    if (name.ends_with("bn.bias")) p.value[0] = -1000;  // ReLU turns the large channel to 0
  });
  const double tensor = logits_sqnr(model, Scheme::per_tensor, Calibration::min_max);
  const double channel = logits_sqnr(model, Scheme::per_channel, Calibration::min_max);
  CHECK(channel > 15);
  CHECK(channel > tensor + 10);
}

TEST_CASE("Wrong activations, weights, images and parameters that are not finite are refused") {
  Vgg<float> model = deployed(trained_model(Mode::target));
  const std::vector<Tensor<float>> batches{random_images(2)};
  const auto activations = calibrated(activation_histograms(model, batches), Calibration::min_max);
  const auto build = [&](std::vector<Quantization> quantizations) {
    QuantizedVgg(model, std::move(quantizations), Scheme::per_channel);
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

  QuantizedVgg quantized(model, activations, Scheme::per_channel);
  std::vector<QuantizedWeights> weights;
  for (const QuantizedConv& layer : quantized.layers()) weights.push_back(layer.weights());
  std::swap(weights[0], weights[1]);
  CHECK_THROWS_AS(QuantizedVgg(model.config(), weights, activations), std::invalid_argument);
  weights.pop_back();
  CHECK_THROWS_WITH_AS(QuantizedVgg(model.config(), weights, activations),
                       "there are weights of 6 layers, the network has 7", std::invalid_argument);
  CHECK_THROWS_AS(quantized.forward(Tensor<float>({1, 8, 8, 4})), std::invalid_argument);
  CHECK_THROWS_AS(fake_quantized(model, {}, Scheme::per_channel), std::invalid_argument);

  model.visit_parameters([](const std::string& name, Parameter<float>& p) {
    if (name == "stage1.0.conv.weight") p.value[0] = std::numeric_limits<float>::infinity();
  });
  CHECK_THROWS_AS(activation_histograms(model, batches), std::invalid_argument);
  CHECK_THROWS_AS(build(activations), std::invalid_argument);
}
