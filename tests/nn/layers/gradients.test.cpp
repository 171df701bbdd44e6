// Compares the gradients of every layer and block, and of the whole network in every mode, with central differences
// in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "repopt/nn/blocks/conv_bn_relu.hpp"
#include "repopt/nn/blocks/qa_rep_vgg_block.hpp"
#include "repopt/nn/blocks/rep_vgg_block.hpp"
#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/layers/csla_conv2d.hpp"
#include "repopt/nn/layers/linear.hpp"
#include "repopt/nn/layers/pooling.hpp"
#include "repopt/nn/layers/relu.hpp"
#include "repopt/nn/layers/scale.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "support/block_kinds.hpp"
#include "support/gradient_check.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

constexpr double numeric_tolerance = 1e-7;  ///< the accuracy of central differences with a step of 1e-6

void randomize(Random& random, auto& layer) {
  for (Parameter<double>* parameter : trained_parameters(layer)) fill_random<double>(random, parameter->value);
}

/// gradient_error() for a layer with forward(x) and parameters.
double layer_error(Random& random, auto& layer, const ImageShape& image) {
  Tensor<double> x = random_tensor<double>(random, image);
  randomize(random, layer);
  return gradient_error(
      random, x, [&]() -> auto& { return layer.forward(x); },
      [&](Tensor<double> & grad_y) -> auto& { return layer.backward(grad_y); }, trained_parameters(layer));
}

/// The same for a batch norm in training.
double training_error(Random& random, BatchNorm2d<double>& layer, const ImageShape& image) {
  Tensor<double> x = random_tensor<double>(random, image);
  randomize(random, layer);
  return gradient_error(
      random, x, [&]() -> auto& { return layer.forward(x, Phase::train); },
      [&](Tensor<double> & grad_y) -> auto& { return layer.backward(grad_y); }, trained_parameters(layer));
}

/// The same for a block. Its input is a tensor or, if `lazy`, the lazy output of a batch norm with ReLU.
double training_error(Random& random, Block<double>& block, const ImageShape& image, bool lazy = false) {
  Tensor<double> x = random_tensor<double>(random, image), y;
  GradScratch<double> scratch;
  randomize(random, block);
  BatchNorm2d<double> before(image.channels, Activation::relu);
  randomize(random, before);
  return gradient_error(
      random, x,
      [&]() -> auto& {
        const LazyTensor<double> in = lazy ? before.forward_lazily(x, Phase::train) : LazyTensor<double>(x);
        return block.forward(in, Phase::train).evaluate(y);
      },
      [&](Tensor<double> & grad_y) -> auto& {
        block.backward(grad_y, scratch);
        return lazy ? before.backward(grad_y) : grad_y;
      },
      trained_parameters(block));
}

/// A layer with 3x3, 1x1 and identity branches and scales of both signs.
CslaConv2d<double> csla_conv(Random& random, bool trained) {
  CslaConv2d<double> conv(square(4, 4, 3));
  conv.add_branch("conv", "scale_conv", square(4, 4, 3), random.numbers<double>(4), trained);
  conv.add_branch("conv_1x1", "scale_1x1", square(4, 4, 1), random.numbers<double>(4), trained);
  conv.add_identity("scale_identity", random.numbers<double>(4));
  return conv;
}

}  // namespace

TEST_CASE("Conv2d has the gradients of its kernel and of its input") {
  Random random(1);
  for (const ConvShape& shape : {square(3, 5, 3), strided(square(4, 6, 3, 1, 2), {2, 1}), square(4, 4, 3, 2, 4)}) {
    CAPTURE(describe(shape));
    Conv2d<double> conv(shape);
    CHECK(layer_error(random, conv, {2, 6, 5, shape.in_channels}) < numeric_tolerance);
  }
}

TEST_CASE("BatchNorm2d has the gradients of weight, bias and input, with and without ReLU") {
  Random random(2);
  for (const Activation activation : {Activation::none, Activation::relu}) {
    BatchNorm2d<double> bn(4, activation);
    CHECK(training_error(random, bn, {2, 3, 5, 4}) < numeric_tolerance);
  }
}

TEST_CASE("Relu has the gradient of its input") {
  Random random(3);
  Tensor<double> x = random_tensor<double>(random, {2, 3, 3, 4}), y;
  Relu<double> relu;
  const auto forward = [&]() -> auto& {
    y = x;
    return relu.forward(y);
  };
  CHECK(gradient_error(
            random, x, forward, [&](Tensor<double> & g) -> auto& { return relu.backward(g); }) < numeric_tolerance);
}

TEST_CASE("Scale has the gradients of its weight and of its input, and a constant scale only of its input") {
  Random random(4);
  Scale<double> trained(random.numbers<double>(5), true), constant(random.numbers<double>(5), false);
  CHECK(layer_error(random, trained, {2, 3, 4, 5}) < numeric_tolerance);
  CHECK(layer_error(random, constant, {2, 3, 4, 5}) < numeric_tolerance);
  CHECK(trained_parameters(constant).empty());
  CHECK(constant.weight.grad.empty());
}

TEST_CASE("Linear has the gradients of weight, bias and input") {
  Random random(5);
  Linear<double> linear(7, 4);
  CHECK(layer_error(random, linear, {6, 1, 1, 7}) < numeric_tolerance);
}

TEST_CASE("GlobalAveragePooling has the gradient of its input") {
  Random random(6);
  Tensor<double> x = random_tensor<double>(random, {3, 4, 5, 2});
  Tensor<double> grad_x;
  GlobalAveragePooling<double> pooling;
  CHECK(gradient_error(
            random, x, [&]() -> auto& { return pooling.forward(x); },
            [&](Tensor<double> & grad_y) -> auto& { return pooling.backward(grad_y, grad_x); }) < numeric_tolerance);
}

TEST_CASE("cross_entropy has the gradient of the logits, with and without label smoothing") {
  Random random(7);
  const std::vector<int> labels{0, 4, 2};
  for (const double label_smoothing : {0.0, 0.1, 1.0}) {
    Tensor<double> logits = random_tensor<double>(random, {3, 1, 1, 5}), grad, ignored;
    cross_entropy<double>(logits, labels, label_smoothing, grad);
    const auto loss = [&] { return cross_entropy<double>(logits, labels, label_smoothing, ignored); };
    CHECK(relative_error(grad.values(), numeric_gradient(logits.values(), loss)) < numeric_tolerance);
  }
}

TEST_CASE("CslaConv2d has the gradients of kernels, identity, trained scales and input") {
  Random random(8);
  for (const bool trained : {false, true}) {
    CslaConv2d<double> conv = csla_conv(random, trained);
    CHECK(layer_error(random, conv, {2, 5, 4, 4}) < numeric_tolerance);
    CHECK(trained_parameters(conv).size() == (trained ? 5 : 3));
  }
}

TEST_CASE("The deployed, the target's and the CSLA block have the gradients of parameters and input") {
  Random random(9);
  ConvBnRelu<double> target(strided(square(3, 5, 3), {2, 2}));
  CHECK(training_error(random, target, {2, 6, 7, 3}) < numeric_tolerance);
  CslaBnRelu<double> csla(csla_conv(random, true), 4);
  CHECK(training_error(random, csla, {2, 5, 4, 4}) < numeric_tolerance);
  CHECK(training_error(random, target, {2, 6, 7, 3}, true) < numeric_tolerance);
  CHECK(training_error(random, csla, {2, 5, 4, 4}, true) < numeric_tolerance);
  ConvBiasRelu<double> deployed(strided(square(3, 5, 3), {2, 2}));
  CHECK(training_error(random, deployed, {2, 6, 7, 3}) < numeric_tolerance);
  CHECK(training_error(random, deployed, {2, 6, 7, 3}, true) < numeric_tolerance);
}

TEST_CASE_TEMPLATE(
    "RepVGG's and QARepVGG's blocks have the gradients of parameters and input, with and without identity", RepBlock,
    RepVggBlock<double>, QaRepVggBlock<double>) {
  Random random(10);
  RepBlock with_identity(square(4, 4, 3), square(4, 4, 1), true);
  CHECK(training_error(random, with_identity, {2, 5, 4, 4}) < numeric_tolerance);
  CHECK(training_error(random, with_identity, {2, 5, 4, 4}, true) < numeric_tolerance);
  RepBlock without(strided(square(3, 5, 3), {2, 2}), strided(square(3, 5, 1), {2, 2}), false);
  CHECK(training_error(random, without, {2, 6, 7, 3}) < numeric_tolerance);
  CHECK(training_error(random, without, {2, 6, 7, 3}, true) < numeric_tolerance);
}

TEST_CASE("A block without input gradient has the same gradients of its parameters") {
  Random random(11);
  const Tensor<double> x = random_tensor<double>(random, {2, 5, 4, 4});
  const Tensor<double> r = random_tensor<double>(random, {2, 5, 4, 4});
  const auto gradients = [&](auto block) {
    Random same(12);
    randomize(same, block);
    block.forward(x, Phase::train);
    Tensor<double> grad = r;
    GradScratch<double> scratch;
    block.backward(grad, scratch);
    const std::size_t size = grad.size();
    std::vector<double> all;
    for (const Parameter<double>* parameter : trained_parameters(block))
      all.insert(all.end(), parameter->grad.begin(), parameter->grad.end());
    return std::pair(all, size);
  };
  const ConvShape shape = square(4, 4, 3), shape_1x1 = square(4, 4, 1);
  const auto check = [](const auto& with, const auto& without) {
    CHECK(with.first == without.first);
    CHECK(with.second == 2 * 5 * 4 * 4);
    CHECK(without.second == 0);
  };
  check(gradients(ConvBnRelu<double>(shape)), gradients(ConvBnRelu<double>(shape, false)));
  check(gradients(ConvBiasRelu<double>(shape)), gradients(ConvBiasRelu<double>(shape, false)));
  check(gradients(RepVggBlock<double>(shape, shape_1x1, false)),
        gradients(RepVggBlock<double>(shape, shape_1x1, false, false)));
  check(gradients(QaRepVggBlock<double>(shape, shape_1x1, false)),
        gradients(QaRepVggBlock<double>(shape, shape_1x1, false, false)));
}

TEST_CASE("A CSLA layer with an identity works without input gradient, and a layer without a branch is refused") {
  Random random(13);
  const Tensor<double> x = random_tensor<double>(random, {1, 4, 4, 3});
  CslaConv2d<double> layer(square(3, 3, 3));
  CHECK_THROWS_AS(layer.forward(x), std::invalid_argument);
  layer.set_requires_input_grad(false);
  layer.add_branch("conv", "scale_conv", square(3, 3, 3), {1, 2, 3}, false);
  layer.add_identity("scale_identity", {1, 1, 1});
  layer.forward(x);
  CHECK(layer.backward(random_tensor<double>(random, {1, 4, 4, 3})).size() == 0);
}

TEST_CASE("Cross entropy of a masked class is finite without smoothing") {
  Tensor<double> logits({1, 1, 1, 3}), grad;
  logits.values()[0] = logits.values()[1] = 0;
  logits.values()[2] = -std::numeric_limits<double>::infinity();
  CHECK(cross_entropy<double>(logits, std::vector<int>{0}, 0, grad) == doctest::Approx(std::log(2.0)));
}

TEST_CASE("Vgg has the gradients of all parameters in every mode") {
  for (const Mode mode : {Mode::target, Mode::csla, Mode::hyper_search, Mode::repvgg, Mode::qarepvgg, Mode::deploy}) {
    CAPTURE(to_string(mode));
    Random random(13);
    Vgg<double> model = tiny_model<double>(mode);
    const Tensor<double> images = random_tensor<double>(random, {4, 8, 8, 3});
    const std::vector<int> labels{0, 3, 1, 4};
    Tensor<double> grad_logits, ignored;
    cross_entropy<double>(model.forward(images, Phase::train), labels, 0.1, grad_logits);
    model.zero_grad();
    model.backward(grad_logits);
    const auto loss = [&] { return cross_entropy<double>(model.forward(images, Phase::train), labels, 0.1, ignored); };
    model.visit_parameters([&](const std::string& name, Parameter<double>& parameter) {
      if (!parameter.requires_grad) return;
      CAPTURE(name);
      const std::vector<double> grad = parameter.grad;
      if (mode == Mode::qarepvgg && name.ends_with("bn_3x3.bias")) {
        // The batch norm after the sum subtracts it again.
        for (const double gradient : grad) CHECK(std::abs(gradient) < 1e-14);
        return;
      }
      CHECK(relative_error(grad, numeric_gradient(parameter.value, loss)) < 1e-5);
    });
  }
}
