#include "repopt/quant/fake_quant.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "repopt/quant/post_training.hpp"
#include "repopt/quant/quantized_vgg.hpp"
#include "support/gradient_check.hpp"
#include "support/quantized_models.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::quant;
using namespace repopt::testing;

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
