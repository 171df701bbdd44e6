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
#include "support/gradient_check.hpp"
#include "support/quantized_models.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::quant;
using namespace repopt::testing;

namespace {

/// The convolution by its definition, in 64-bit integers. Calls visit(pixel, out_channel, sum).
void naive_sums(const ConvShape& shape, const Tensor<std::uint8_t>& x, int zero_point,
                const std::vector<std::int8_t>& weight, const std::vector<std::int32_t>& bias, auto visit) {
  const ImageShape y = conv_output_shape(shape, x.shape());
  const auto source = [&](std::size_t out, std::size_t tap, std::size_t axis) {
    return std::ptrdiff_t(out * shape.stride[axis] + tap * shape.dilation[axis]) - std::ptrdiff_t(shape.padding[axis]);
  };
  for (std::size_t pixel = 0; pixel < y.pixels(); ++pixel)
    for (std::size_t out = 0; out < y.channels; ++out) {
      std::int64_t sum = bias[out];
      for_each_weight(shape, [&](const WeightIndex& w) {
        if (w.out != out) return;
        const std::ptrdiff_t row = source(pixel / y.width % y.height, w.row, 0);
        const std::ptrdiff_t column = source(pixel % y.width, w.column, 1);
        if (row < 0 || column < 0 || row >= std::ptrdiff_t(x.shape().height) ||
            column >= std::ptrdiff_t(x.shape().width))
          return;
        const std::size_t image = pixel / (y.height * y.width);
        const std::size_t from = (image * x.shape().height + std::size_t(row)) * x.shape().width + std::size_t(column);
        sum += std::int64_t(weight[shape.offset(w)]) * (int(x.pixel(from)[w.in]) - zero_point);
      });
      visit(pixel, out, sum);
    }
}

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

TEST_CASE("Integer convolutions equal their definition for random kernels, strides, paddings, dilations, zero points") {
  Random random(1);
  for (int k = 0; k < 60; ++k) {
    ConvShape shape = random_target(random);
    shape.groups = 1;
    shape.layout = WeightLayout::ohwi;
    CAPTURE(describe(shape));
    Tensor<std::uint8_t> x({random.integer(1, 2), random.integer(5, 9), random.integer(5, 9), shape.in_channels});
    for (std::uint8_t& value : x.values()) value = std::uint8_t(random.integer(0, 255));
    std::vector<std::int8_t> weight(shape.size());
    for (std::int8_t& value : weight) value = std::int8_t(int(random.integer(0, 254)) - 127);
    std::vector<std::int32_t> bias(shape.out_channels);
    for (std::int32_t& value : bias) value = std::int32_t(random.integer(0, 100000)) - 50000;
    const auto zero_point = std::uint8_t(random.integer(0, 255));
    const QuantizedConv conv({shape, weight, {1}, bias}, {.scale = 1, .zero_point = zero_point});
    std::vector<std::int32_t> sums(conv_output_shape(shape, x.shape()).size(), 1 << 30);
    conv.forward(x, [&](std::size_t pixel, std::span<const std::int32_t> values) {
      std::ranges::copy(values, sums.begin() + std::ptrdiff_t(pixel * shape.out_channels));
    });
    std::size_t wrong = 0;
    naive_sums(shape, x, zero_point, weight, bias, [&](std::size_t pixel, std::size_t out, std::int64_t sum) {
      wrong += sums[pixel * shape.out_channels + out] != sum;
    });
    CHECK(wrong == 0);
  }
}

TEST_CASE("The longest sum that is allowed does not overflow at the largest values, and longer ones are refused") {
  const ConvShape shape{
      .in_channels = 65000, .out_channels = 1, .kernel_size = {1, 1}, .padding = {0, 0}, .layout = WeightLayout::ohwi};
  const QuantizedConv conv({shape, std::vector<std::int8_t>(65000, -128), {1}, {-1000000}}, {});
  Tensor<std::uint8_t> x({1, 1, 1, 65000});
  std::ranges::fill(x.values(), std::uint8_t(255));
  conv.forward(
      x, [](std::size_t, std::span<const std::int32_t> sums) { CHECK(sums[0] == -65000LL * 128 * 255 - 1000000); });
  ConvShape longer = shape;
  longer.in_channels = 65800;
  CHECK_THROWS_AS(QuantizedConv({longer, std::vector<std::int8_t>(65800), {1}, {0}}, {}), std::invalid_argument);
  CHECK_THROWS_AS(QuantizedConv({shape, std::vector<std::int8_t>(65000), {1}, {1 << 30}}, {}), std::invalid_argument);
}

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

TEST_CASE("A report shows a high ratio for accurate kernels, and clipped outputs as outliers of their block alone") {
  Vgg<float> model = deployed(trained_model(Mode::target));
  const std::vector<Tensor<float>> batches{random_images(2)};
  const std::vector<Histogram> histograms = activation_histograms(model, batches);
  std::vector<Quantization> activations = calibrated(histograms, Calibration::min_max);
  activations[2].scale /= 2;
  QuantizedVgg quantized(model, activations, Scheme::per_channel);
  const std::vector<LayerReport> reports = layer_reports(model, quantized, histograms, batches[0]);
  REQUIRE(reports.size() == model.blocks().size());
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const LayerReport& report = reports[i];
    CAPTURE(report.name);
    CHECK(report.name == activation_names(model.config())[i + 1]);
    CHECK(report.weight_std > 0);
    CHECK(report.weight_largest > report.weight_std);
    CHECK(report.weight_sqnr > 35);
    CHECK((report.outliers > 0) == (i == 1));
    CHECK(report.output_seen == doctest::Approx((i == 1 ? 2 : 1) * report.output_clipped_at).epsilon(1e-5));
  }
  CHECK(reports[0].output_sqnr > 25);
  CHECK(reports[1].output_sqnr < 25);
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

TEST_CASE("The trainable network rounds to the integer network's levels, or rarely to a neighbouring level") {
  const Vgg<float> model = trained_model(Mode::target);
  const std::vector<Tensor<float>> batches{random_images(2)};
  const auto activations = calibrated(activation_histograms(model, batches), Calibration::min_max);
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel}) {
    const Vgg<float> fake = fake_quantized(model, activations, scheme);
    QuantizedVgg quantized(fake, activations, scheme);
    std::vector<std::vector<std::uint8_t>> levels;
    quantized.forward(batches[0], [&](std::size_t, const Tensor<std::uint8_t>& x) {
      levels.emplace_back(x.values().begin(), x.values().end());
    });
    std::size_t different = 0, far = 0, count = 0;
    visit_activations(fake, batches[0], [&](std::size_t place, const Tensor<float>& x) {
      for (std::size_t k = 0; k < x.size(); ++k) {
        const int distance = std::abs(int(activations[place].quantize(x.values()[k])) - int(levels[place][k]));
        different += distance > 0;
        far += distance > 1;
        ++count;
      }
    });
    CHECK(far == 0);
    CHECK(different < count / 100);
  }
}

TEST_CASE("Gradients pass through rounding unchanged, and are 0 where an input was clipped") {
  Random random(7);
  const ConvShape shape{.in_channels = 3, .out_channels = 4, .layout = WeightLayout::hwio};
  const FusedConv<double> conv{shape, random.numbers<double>(shape.size()), random.numbers<double>(4)};
  const Quantization input{.scale = 0.006F, .zero_point = 100};  // covers -0.6 to 0.93
  Tensor<double> x = random_tensor<double>(random, {2, 5, 4, 3});
  const Tensor<double> r = random_tensor<double>(random, {2, 5, 4, 4});
  FakeQuantConvRelu<double> block(conv, Scheme::per_channel, input, true, ConvAlgorithm::plain);

  // The estimator is the gradient of this function: rounding errors are constants, and clipping is not.
  const auto clipped = [&](double value) { return std::clamp(value, double(input.low()), double(input.high())); };
  std::vector<double> x_offset, weight_offset(shape.size());
  for (const double value : x.values())
    x_offset.push_back(double(input.dequantize(input.quantize(float(value)))) - clipped(value));
  const std::vector<float> scales = weight_scales(conv, Scheme::per_channel, input);
  for_each_weight(shape, [&](const WeightIndex& w) {
    const std::size_t k = shape.offset(w);
    weight_offset[k] = double(scales[w.out]) * quantize_weight(conv.weight[k], scales[w.out]) - conv.weight[k];
  });
  ConvBiasRelu<double> surrogate(shape);
  std::vector<double> weight = conv.weight, bias = conv.bias;
  const auto loss = [&] {
    Tensor<double> shifted(x.shape()), y;
    for (std::size_t k = 0; k < x.size(); ++k) shifted.values()[k] = clipped(x.values()[k]) + x_offset[k];
    for (std::size_t k = 0; k < weight.size(); ++k) surrogate.conv.weight.value[k] = weight[k] + weight_offset[k];
    surrogate.bias.value = bias;
    return (surrogate.forward(shifted, Phase::train).evaluate(y).matrix().array() * r.matrix().array()).sum();
  };

  Tensor<double> y, grad = r;
  GradScratch<double> scratch;
  const LazyTensor<double> output = block.forward(x, Phase::train);
  CHECK((output.evaluate(y).matrix().array() * r.matrix().array()).sum() == doctest::Approx(loss()).epsilon(1e-12));
  block.backward(grad, scratch);
  CHECK(relative_error(grad.values(), numeric_gradient(x.values(), loss)) < 1e-7);
  CHECK(std::ranges::count(grad.values(), 0.0) > 10);
  std::vector<std::vector<double>> gradients;
  block.visit_parameters("b", [&](const std::string&, Parameter<double>& p) { gradients.push_back(p.grad); });
  REQUIRE(gradients.size() == 2);
  CHECK(relative_error(gradients[0], numeric_gradient(weight, loss)) < 1e-7);
  CHECK(relative_error(gradients[1], numeric_gradient(bias, loss)) < 1e-7);
  CHECK(block.fused().weight == conv.weight);
}
