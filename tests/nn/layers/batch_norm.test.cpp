#include "repopt/nn/layers/batch_norm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <vector>

#include "repopt/nn/layers/relu.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/tensors.hpp"

using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// One channel with the values 1, 2, 3, 4: mean 2.5, biased variance 5/4, unbiased variance 5/3.
Tensor<double> one_to_four() {
  Tensor<double> x({1, 2, 2, 1});
  for (std::size_t k = 0; k < 4; ++k) x.data()[k] = double(k + 1);
  return x;
}

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("Training normalises by the biased variance, and the running variance averages the unbiased one") {
  BatchNorm2d<double> bn(1);
  bn.weight.value = {3};
  bn.bias.value = {-1};
  const Tensor<double> x = one_to_four();
  const Tensor<double>& y = bn.forward(x, Phase::train);
  for (std::size_t k = 0; k < 4; ++k)
    CHECK(y.data()[k] == doctest::Approx(3 * (double(k + 1) - 2.5) / std::sqrt(1.25 + 1e-5) - 1).epsilon(1e-14));
  CHECK(bn.running_mean.value[0] == doctest::Approx(0.1 * 2.5).epsilon(1e-14));
  CHECK(bn.running_var.value[0] == doctest::Approx(0.9 + 0.1 * 5 / 3).epsilon(1e-14));
  bn.forward(x, Phase::train);
  CHECK(bn.running_mean.value[0] == doctest::Approx(0.9 * 0.25 + 0.1 * 2.5).epsilon(1e-14));
}

TEST_CASE("Evaluation uses the running statistics and does not change them") {
  BatchNorm2d<double> bn(1);
  bn.weight.value = {2};
  bn.bias.value = {0.5};
  bn.running_mean.value = {3};
  bn.running_var.value = {4};
  const Tensor<double> x = one_to_four();
  const Tensor<double>& y = bn.forward(x, Phase::eval);
  for (std::size_t k = 0; k < 4; ++k)
    CHECK(y.data()[k] == doctest::Approx(2 * (double(k + 1) - 3) / std::sqrt(4 + 1e-5) + 0.5).epsilon(1e-14));
  CHECK(bn.running_mean.value[0] == 3);
  CHECK(bn.running_var.value[0] == 4);
  Tensor<double> lone({1, 1, 1, 1});
  lone.data()[0] = 3;
  CHECK(bn.forward(lone, Phase::eval).data()[0] == doctest::Approx(0.5));
}

TEST_CASE("affine() is the map of the last forward pass, and eval_affine() the map in evaluation") {
  Random random(1);
  const Tensor<double> x = random_tensor<double>(random, {2, 3, 3, 4});
  BatchNorm2d<double> bn(4);
  fill_random<double>(random, bn.weight.value);
  const auto applied = [&](const ChannelAffine<double>& map) {
    Tensor<double> y(x.shape());
    for_each_pixel(x, [&](std::size_t p) { y.channels(p) = map.scale * x.channels(p) + map.shift; });
    return y;
  };
  bn.forward(x, Phase::train);
  CHECK(relative_error(bn.output().values(), applied(bn.affine()).values()) < 1e-15);
  bn.forward(x, Phase::eval);
  CHECK(relative_error(bn.output().values(), applied(bn.eval_affine()).values()) < 1e-15);
}

TEST_CASE("Moments that the convolution has measured give the same output") {
  Random random(2);
  const Tensor<double> x = random_tensor<double>(random, {2, 9, 9, 4});
  ChannelMoments moments;
  moments.measure(x);
  BatchNorm2d<double> by_itself(4), helped(4);
  by_itself.forward(x, Phase::train);
  helped.forward(x, Phase::train, &moments);
  CHECK(relative_error(helped.output().values(), by_itself.output().values()) == 0);
  CHECK(helped.running_var.value == by_itself.running_var.value);
}

TEST_CASE("One value per channel is an error in training, and changes nothing") {
  BatchNorm2d<float> bn(3);
  CHECK_THROWS_WITH_AS(bn.forward(Tensor<float>({1, 1, 1, 3}), Phase::train),
                       "batch norm needs more than 1 value per channel in training, it got 1x1x1x3",
                       std::invalid_argument);
  CHECK(bn.running_var.value == std::vector<float>(3, 1));
  CHECK_THROWS_WITH_AS(bn.forward(Tensor<float>({2, 2, 2, 4}), Phase::train),
                       "the images have 4 channels, the batch norm has 3", std::invalid_argument);
}

TEST_CASE("backward() needs a forward pass in training, and x as it was then") {
  const Tensor<double> x = one_to_four();
  Tensor<double> grad = one_to_four(), memory = one_to_four(), grad_x;
  BatchNorm2d<double> bn(1);
  const auto refuses = [&](Tensor<double>& of_x) {
    CHECK_THROWS_WITH_AS(bn.backward(grad, of_x), "backward() needs a forward pass in training before it",
                         std::invalid_argument);
  };
  refuses(grad_x);
  bn.forward(x, Phase::train);
  bn.backward(grad, grad_x);
  CHECK_NOTHROW(bn.backward(grad, grad_x));
  bn.forward(x, Phase::eval);
  refuses(grad_x);
  bn.forward(memory, Phase::train);
  bn.backward(grad, memory);
  refuses(memory);
}

TEST_CASE("The gradient passes ReLU exactly if its output is not 0, for any rounding of scale * x + shift") {
  constexpr std::size_t channels = 1027;
  Tensor<float> x({2, 1, 1, channels}), memory;
  Random random(5);
  for (std::size_t c = 0; c < channels; ++c)  // in constant channels x - mean consists of rounding errors only
    x.data()[c] = x.data()[channels + c] = float(random.real(-1, 1));
  Tensor<float> grad(x.shape());
  std::ranges::fill(grad.values(), 1.0F);
  for (const bool lazy : {false, true}) {
    BatchNorm2d<float> bn(channels, Activation::relu);
    const Tensor<float>& y = lazy ? bn.forward_lazily(x, Phase::train).evaluate(memory) : bn.forward(x, Phase::train);
    Tensor<float> grad_x;
    bn.backward(grad, grad_x);
    for (std::size_t c = 0; c < channels; ++c) CHECK(bn.bias.grad[c] == (y.data()[c] > 0 ? 2 : 0));
  }
}

TEST_CASE("NaN passes through ReLU, in its own layer and in the batch norm") {
  Tensor<double> x = one_to_four();
  x.data()[0] = -1;
  x.data()[1] = not_a_number;
  BatchNorm2d<double> bn(1, Activation::relu);
  const Tensor<double>& y = bn.forward(x, Phase::eval);
  CHECK(y.data()[0] == 0);
  CHECK(std::isnan(y.data()[1]));
  Relu<double>().forward(x);
  CHECK(x.data()[0] == 0);
  CHECK(std::isnan(x.data()[1]));
  CHECK(x.data()[3] == 4);
}
