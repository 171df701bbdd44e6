#include "repopt/engine/conv.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "repopt/nn/layers/batch_norm.hpp"
#include "repopt/nn/layers/conv2d.hpp"
#include "repopt/nn/layers/linear.hpp"
#include "repopt/nn/layers/relu.hpp"
#include "repopt/nn/layers/scale.hpp"
#include "support/block_kinds.hpp"
#include "support/fewer_shapes.hpp"
#include "support/naive_conv.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// A convolution with random images, gradient, weights and affine map.
template <class T>
struct Case {
  ConvShape shape;
  Tensor<T> x, grad_y;
  std::vector<T> weight, scale, shift;

  Case(Random& random, ConvShape conv_shape, const ImageShape& image) : shape(conv_shape) {
    shape.layout = WeightLayout::hwio;
    x = random_tensor<T>(random, image);
    grad_y = random_tensor<T>(random, conv_output_shape(shape, image));
    weight = random.numbers<T>(shape.size());
    scale = random.numbers<T>(shape.in_channels);
    shift = random.numbers<T>(shape.in_channels);
  }

  InputAffine<T> affine() const { return {scale, shift}; }

  /// The input that the convolution sees: x or, if `with_affine`, relu(scale * x + shift).
  Images<T> seen(bool with_affine) const {
    Tensor<T> seen = x;
    if (with_affine)
      for (std::size_t k = 0; k < seen.size(); ++k) {
        const std::size_t c = k % shape.in_channels;
        seen.data()[k] = std::max(T(0), scale[c] * x.data()[k] + shift[c]);
      }
    return to_images(seen);
  }
};

template <class T>
double forward_error(const Case<T>& c, bool with_affine, bool with_moments = false) {
  const InputAffine<T> affine = c.affine();
  ChannelMoments moments;
  Tensor<T> y;
  conv_forward<T>(c.shape, c.x, c.weight, y, with_affine ? &affine : nullptr, with_moments ? &moments : nullptr);
  return relative_error(to_images(y).data, conv(c.shape, c.seen(with_affine), to_oihw(c.shape, c.weight)).data);
}

template <class T>
double backward_data_error(const Case<T>& c) {
  Tensor<T> grad_x(c.x.shape());
  std::ranges::fill(grad_x.values(), T(7));
  conv_backward_data<T>(c.shape, c.grad_y, c.weight, grad_x);
  const Images<T> grad_y = to_images(c.grad_y);
  const std::vector<T> weight = to_oihw(c.shape, c.weight);
  Images<T> expected{c.x.shape().batch, c.x.shape().channels, c.x.shape().height, c.x.shape().width};
  for_each_product(c.shape, expected, grad_y, [&](std::size_t in, std::size_t w, std::size_t out) {
    expected.data[in] += weight[w] * grad_y.data[out];
  });
  return relative_error(to_images(grad_x).data, expected.data);
}

template <class T>
double backward_weight_error(const Case<T>& c, bool with_affine) {
  const InputAffine<T> affine = c.affine();
  std::vector<T> grad(c.shape.size(), T(0.5));
  conv_backward_weight<T>(c.shape, c.x, c.grad_y, grad, with_affine ? &affine : nullptr);
  std::vector<T> expected = from_oihw(c.shape, conv_weight_grad(c.shape, c.seen(with_affine), to_images(c.grad_y)));
  for (T& g : expected) g += T(0.5);
  return relative_error(grad, expected);
}

struct Shapes {
  ConvShape shape;
  ImageShape image;
};

/// Shapes of real networks, and edge cases: images smaller than the kernel, images of one pixel, numbers of channels
/// that are no multiple of a vector, a large kernel, more pixels than a block of patches has.
std::vector<Shapes> chosen_shapes() {
  const ConvShape unpadded{.in_channels = 3, .out_channels = 5, .padding = {0, 0}};
  return {
      {square(3, 32, 3), {1, 32, 32, 3}},
      {square(16, 16, 3), {3, 17, 9, 16}},
      {square(17, 33, 3), {2, 7, 7, 17}},
      {square(540, 490, 3), {1, 3, 2, 540}},
      {strided(square(8, 24, 3), {2, 2}), {2, 15, 16, 8}},
      {strided(square(4, 6, 3), {3, 2}), {2, 11, 10, 4}},
      {square(24, 10, 1), {2, 12, 25, 24}},
      {strided(square(24, 10, 1), {2, 2}), {2, 9, 8, 24}},
      {square(12, 18, 1, 1, 6), {1, 5, 6, 12}},
      {square(12, 12, 3, 1, 12), {2, 13, 14, 12}},
      {square(9, 9, 5, 2, 9), {1, 6, 7, 9}},
      {strided(square(7, 7, 3, 1, 7), {2, 2}), {5, 8, 9, 7}},
      {ConvShape::depthwise_1x1(11, {2, 1}), {3, 5, 4, 11}},
      {square(6, 12, 3, 1, 6), {2, 6, 6, 6}},
      {square(6, 4, 3, 3, 2), {2, 9, 8, 6}},
      {with_kernel(square(4, 5, 3), {1, 3}), {2, 6, 7, 4}},
      {with_kernel(square(4, 5, 3), {5, 1}), {2, 3, 9, 4}},
      {square(5, 4, 5), {2, 1, 1, 5}},
      {strided(square(120, 8, 3), {2, 2}), {2, 7, 8, 120}},
      {unpadded, {2, 3, 3, 3}},
      {unpadded, {1, 8, 3, 3}},
      {{.in_channels = 2, .out_channels = 3, .padding = {4, 3}}, {1, 2, 3, 2}},
      {{.in_channels = 1, .out_channels = 1}, {1, 4, 4, 1}},
      {ConvShape::linear(30, 7), {9, 1, 1, 30}},
  };
}

std::vector<Shapes> random_shapes(Random& random, std::size_t count) {
  std::vector<Shapes> shapes;
  while (shapes.size() < count) {
    const ConvShape shape = random_target(random);
    shapes.push_back({shape, {random.integer(1, 3), random.integer(1, 13), random.integer(1, 13), shape.in_channels}});
  }
  return shapes;
}

template <class T>
constexpr double tolerance = std::is_same_v<T, double> ? 1e-12 : 1e-5;

}  // namespace

TEST_CASE_TEMPLATE("All three passes of the engine agree with the naive convolution", T, float, double) {
  Random random(1);
  std::vector<Shapes> all = chosen_shapes();
  std::ranges::copy(random_shapes(random, fewer_shapes() ? 30 : 300), std::back_inserter(all));
  for (const Shapes& shapes : all) {
    CAPTURE(describe(shapes.shape));
    CAPTURE(describe(shapes.image));
    const Case<T> c(random, shapes.shape, shapes.image);
    CHECK(forward_error(c, false) < tolerance<T>);
    CHECK(forward_error(c, false, true) < tolerance<T>);
    CHECK(backward_data_error(c) < tolerance<T>);
    CHECK(backward_weight_error(c, false) < tolerance<T>);
  }
}

TEST_CASE_TEMPLATE(
    "A convolution that applies an affine map and ReLU to its input equals the convolution of the mapped input", T,
    float, double) {
  Random random(2);
  std::vector<Shapes> all = chosen_shapes();
  std::ranges::copy(random_shapes(random, fewer_shapes() ? 10 : 100), std::back_inserter(all));
  for (const Shapes& shapes : all) {
    CAPTURE(describe(shapes.shape));
    CAPTURE(describe(shapes.image));
    const Case<T> c(random, shapes.shape, shapes.image);
    CHECK(forward_error(c, true) < tolerance<T>);
    CHECK(backward_weight_error(c, true) < tolerance<T>);
  }
}

TEST_CASE_TEMPLATE("The moments that the engine measures are the mean and variance of its output", T, float, double) {
  Random random(3);
  for (const Shapes& shapes : chosen_shapes()) {
    CAPTURE(describe(shapes.shape));
    const Case<T> c(random, shapes.shape, shapes.image);
    ChannelMoments moments;
    Tensor<T> y;
    conv_forward<T>(c.shape, c.x, c.weight, y, nullptr, &moments);
    REQUIRE(moments.count() == y.shape().pixels());
    const auto values = y.matrix().template cast<double>().eval();
    for (Eigen::Index channel = 0; channel < values.cols(); ++channel) {
      const double mean = values.col(channel).mean();
      const double variance = (values.col(channel).array() - mean).square().mean();
      CHECK(moments.mean(std::size_t(channel)) == doctest::Approx(mean).epsilon(tolerance<T>));
      CHECK(moments.variance(std::size_t(channel)) == doctest::Approx(variance).epsilon(tolerance<T>));
    }
  }
}

TEST_CASE("Outputs, input gradients and the gradients of larger kernels do not depend on the number of threads") {
#ifdef _OPENMP
  Random random(4);
  const int threads = omp_get_max_threads();
  for (const ConvShape& shape : {square(16, 16, 3), square(16, 16, 3, 1, 16), square(16, 16, 3, 1, 4),
                                 square(136, 136, 3), square(520, 520, 3)}) {
    const Case<float> c(random, shape, {5, 16, 16, shape.in_channels});
    std::optional<std::vector<float>> first;
    for (const int count : {1, 2, 3}) {
      omp_set_num_threads(count);
      Tensor<float> y, grad_x(c.x.shape());
      ChannelMoments moments;
      conv_forward<float>(c.shape, c.x, c.weight, y, nullptr, &moments);
      conv_backward_data<float>(c.shape, c.grad_y, c.weight, grad_x);
      std::vector<float> all(y.values().begin(), y.values().end());
      all.insert(all.end(), grad_x.values().begin(), grad_x.values().end());
      all.push_back(float(moments.variance(3)));
      if (shape.in_channels > 128) {
        std::vector<float> grad_weight(shape.size());
        conv_backward_weight<float>(c.shape, c.x, c.grad_y, grad_weight);
        all.insert(all.end(), grad_weight.begin(), grad_weight.end());
      }
      if (!first) first = all;
      CHECK(all == *first);
    }
  }
  omp_set_num_threads(threads);
#endif
}

TEST_CASE("Images that do not fit the convolution are refused, and the message has both numbers") {
  const ConvShape shape{.in_channels = 3, .out_channels = 4, .padding = {0, 0}, .layout = WeightLayout::hwio};
  const std::vector<float> weight(shape.size());
  Tensor<float> y;
  CHECK_THROWS_WITH_AS(conv_forward<float>(shape, Tensor<float>({1, 8, 8, 4}), weight, y),
                       "the images have 4 channels, in_channels is 3", std::invalid_argument);
  CHECK_THROWS_WITH_AS(conv_forward<float>(shape, Tensor<float>({1, 8, 2, 3}), weight, y),
                       "the padded image has 2 pixels along axis 1, the kernel spans 3", std::invalid_argument);

  const Tensor<float> x({1, 8, 8, 3}), wrong({1, 8, 8, 4});
  std::vector<float> grad_weight(shape.size());
  Tensor<float> grad_x(x.shape());
  const char* const message = "grad_y is 1x8x8x4, the convolution's output is 1x6x6x4";
  CHECK_THROWS_WITH_AS(conv_backward_data<float>(shape, wrong, weight, grad_x), message, std::invalid_argument);
  CHECK_THROWS_WITH_AS(conv_backward_weight<float>(shape, x, wrong, grad_weight), message, std::invalid_argument);
}

TEST_CASE("A layer refuses backward() before forward()") {
  Tensor<float> grad({1, 1, 1, 4});
  const auto refuses = [&](auto layer) { CHECK_THROWS_AS(layer.backward(grad), std::invalid_argument); };
  refuses(Conv2d<float>(square(4, 4, 1)));
  refuses(BatchNorm2d<float>(4));
  refuses(Linear<float>(4, 4));
  refuses(Relu<float>());
  refuses(Scale<float>(std::vector<float>(4, 1.0f), true));
}
