#include "repopt/quant/fake_quant.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
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

namespace {

/// How the levels of a network's blocks in floats differ from those in integers, for the same inputs of each block.
struct Differences {
  double share = 0;  ///< the share of the levels that are not equal
  int largest = 0;

  Differences(const Vgg<float>& fake, QuantizedVgg& quantized, const Tensor<float>& images) {
    std::vector<Tensor<std::uint8_t>> levels;
    quantized.forward(images, [&](std::size_t, const Tensor<std::uint8_t>& x) { levels.push_back(x); });
    const std::vector<Quantization>& activations = quantized.activations();
    std::size_t count = 0, different = 0;
    for (std::size_t i = 0; i < fake.blocks().size(); ++i) {
      Tensor<float> x(levels[i].shape()), memory;
      for (std::size_t k = 0; k < x.size(); ++k) x.values()[k] = activations[i].dequantize(levels[i].values()[k]);
      const Tensor<float>& y = fake.blocks()[i]->forward(x, Phase::eval).evaluate(memory);
      for (std::size_t k = 0; k < y.size(); ++k) {
        const int distance = std::abs(int(activations[i + 1].quantize(y.values()[k])) - int(levels[i + 1].values()[k]));
        largest = std::max(largest, distance);
        different += distance > 0;
        ++count;
      }
    }
    share = double(different) / double(count);
  }
};

}  // namespace

TEST_CASE("The trainable network's blocks round to the integer network's levels, or rarely to a neighbouring level") {
  Vgg<float> model = trained_model(Mode::target);
  const std::vector<Tensor<float>> batches{random_images(2)};
  const auto histograms = activation_histograms(model, batches);
  for (const WeightOptions& options :
       {WeightOptions{Scheme::per_tensor}, WeightOptions{Scheme::per_channel}, WeightOptions{Scheme::per_tensor, 5},
        WeightOptions{Scheme::per_tensor, 5, 8}, WeightOptions{Scheme::per_channel, 4, 16}}) {
    CAPTURE(options.bits);
    CAPTURE(options.diagonal_bits);
    const auto activations = calibrated(histograms, Calibration::min_max, 99.99, options.bits);
    const Vgg<float> fake = fake_quantized(model, activations, options);
    QuantizedVgg quantized(fake, activations, options);
    const Differences same(fake, quantized, batches[0]);
    CHECK(same.largest <= 1);
    CHECK(same.share < (options.bits == 8 ? 0.01 : 0.05));  // biases are not rounded, and few bits round them coarsely
    QuantizedVgg other(fake, activations, {options.scheme, options.bits - 1, options.diagonal_bits});
    CHECK(Differences(fake, other, batches[0]).share > 2 * same.share);
  }
}

TEST_CASE("Gradients pass through rounding unchanged, and are 0 where an input was clipped") {
  Random random(7);
  const ConvShape shape{.in_channels = 3, .out_channels = 3, .layout = WeightLayout::hwio};
  const FusedConv<double> conv{shape, random.numbers<double>(shape.size()), random.numbers<double>(3)};
  const Quantization input{.scale = 0.03F, .zero_point = 20, .bits = 6};  // covers -0.6 to 1.29
  const WeightOptions options{.bits = 5, .diagonal_bits = 8};
  Tensor<double> x = random_tensor<double>(random, {2, 5, 4, 3});
  const Tensor<double> r = random_tensor<double>(random, {2, 5, 4, 3});
  FakeQuantConvRelu<double> block(conv, options, input, true, ConvAlgorithm::plain);

  // The estimator is the gradient of this function: rounding errors are constants, and clipping is not.
  const auto clipped = [&](double value) { return std::clamp(value, double(input.low()), double(input.high())); };
  std::vector<double> x_offset, weight_offset(shape.size());
  for (const double value : x.values())
    x_offset.push_back(double(input.dequantize(input.quantize(float(value)))) - clipped(value));
  const WeightRounding rounding(conv, options, input);
  for_each_weight(shape, [&](const WeightIndex& w) {
    const std::size_t k = shape.offset(w);
    weight_offset[k] = double(rounding.scale(w)) * rounding.quantize(w, conv.weight[k]) - conv.weight[k];
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

TEST_CASE("Wrong activations and options are refused at once, not in the first forward pass") {
  const Vgg<float> model = trained_model(Mode::target);
  const auto refused = [&](const char* message, std::vector<Quantization> activations, const WeightOptions& options) {
    CHECK_THROWS_WITH_AS(fake_quantized(model, activations, options), message, std::invalid_argument);
  };
  const std::vector<Quantization> activations(8);
  CHECK_NOTHROW(fake_quantized(model, activations, {}));
  refused("the bits of weights must be 2 to 8, they are 1", activations, {.bits = 1});
  refused("there are 7 quantizations, the network has 8 places for them", std::vector<Quantization>(7), {});
  std::vector<Quantization> broken = activations;
  broken[1].scale = 0;
  refused("the scale of stage0 must be finite and > 0, it is 0", broken, {});
  broken = activations;
  broken[2].zero_point = 3;
  refused("the zero point of stage1.0 must be 0, it is 3", broken, {});
}
