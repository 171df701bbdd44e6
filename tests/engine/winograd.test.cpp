#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "repopt/engine/conv.hpp"
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

/// Edge cases: images that are no multiple of a tile, channels that are no multiple of a vector, one image, one pixel,
/// a large kernel, and paddings from 0 to 2.
std::vector<std::pair<ConvShape, ImageShape>> winograd_shapes(Random& random) {
  std::vector<std::pair<ConvShape, ImageShape>> shapes{
      {square(16, 16, 3), {1, 1, 1, 16}},
      {square(1, 1, 3), {1, 5, 6, 1}},
      {square(3, 40, 3), {3, 4, 4, 3}},
      {square(130, 70, 3), {1, 8, 8, 130}},
  };
  if (!fewer_shapes()) {
    shapes.push_back({square(64, 64, 3), {4, 32, 32, 64}});
    shapes.push_back({square(130, 70, 3), {7, 8, 8, 130}});
    shapes.push_back({square(1101, 239, 3), {150, 2, 5, 1101}});
  }
  while (shapes.size() < (fewer_shapes() ? 10 : 60)) {
    ConvShape shape = square(random.integer(1, 37), random.integer(1, 37), 3);
    shape.padding = {random.integer(0, 2), random.integer(0, 2)};
    shapes.push_back({shape, {random.integer(1, 5), random.integer(3, 19), random.integer(3, 19), shape.in_channels}});
  }
  for (auto& [shape, image] : shapes) shape.layout = WeightLayout::hwio;
  return shapes;
}

/// Convolutions with stride 2 and padding 1, which Stride2 computes, on the same images.
std::vector<std::pair<ConvShape, ImageShape>> stride_2_shapes(Random& random) {
  auto shapes = winograd_shapes(random);
  for (auto& [shape, image] : shapes) {
    shape.stride = {2, 2};
    shape.padding = {1, 1};
  }
  return shapes;
}

/// The largest error of the three passes against the plain convolution in the same T.
template <class Scheme, class Adjoint, class T>
double winograd_error(Random& random, const ConvShape& shape, const ImageShape& image) {
  const auto x = random_tensor<T>(random, image);
  const auto grad_y = random_tensor<T>(random, conv_output_shape(shape, image));
  const std::vector<T> weight = random.numbers<T>(shape.size());
  std::vector<T> turned(weight.size()), grad(weight.size(), T(1)), expected_grad(weight.size(), T(1));
  Tensor<T> y(grad_y.shape()), expected_y(grad_y.shape()), grad_x(image), expected_grad_x(image);
  const ConvShape adjoint = engine::has_adjoint(shape) ? engine::adjoint_shape(shape) : engine::swapped_channels(shape);

  engine::winograd_forward<Scheme, T>(shape, x, weight, y, nullptr, nullptr);
  engine::gemm_forward<T>(shape, x, weight, expected_y, nullptr, nullptr);
  engine::turn_kernel<T>(shape, weight, turned);
  engine::winograd_forward<Adjoint, T>(adjoint, grad_y, turned, grad_x, nullptr, nullptr);
  engine::gemm_backward_data<T>(shape, grad_y, weight, expected_grad_x);
  engine::winograd_backward_weight<Scheme, T>(shape, x, grad_y, grad, nullptr);
  engine::gemm_backward_weight<T>(shape, x, grad_y, expected_grad, nullptr);
  return std::max({relative_error(y.values(), expected_y.values()),
                   relative_error(grad_x.values(), expected_grad_x.values()), relative_error(grad, expected_grad)});
}

}  // namespace

TEST_CASE("Winograd's matrices compute a one-dimensional convolution exactly") {
  using namespace repopt::nn::engine;
  // y_i = sum_j g_j x_(i+j) must hold for all unit vectors g and x.
  const auto check = [](const auto& input, const auto& kernel, const auto& output) {
    const std::size_t points = input.size(), m = output[0].size(), r = kernel[0].size();
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t g = 0; g < r; ++g)
        for (std::size_t x = 0; x < points; ++x) {
          double y = 0;
          for (std::size_t k = 0; k < points; ++k) y += output[k][i] * kernel[k][g] * input[k][x];
          CHECK(y == doctest::Approx(x == i + g ? 1 : 0).epsilon(1e-14));
        }
  };
  check(winograd_input<4, 3>, winograd_kernel<4, 3>, winograd_output<4, 3>);
  check(winograd_input<4, 2>, winograd_kernel<4, 2>, winograd_output<4, 2>);
}

TEST_CASE_TEMPLATE("Winograd's convolution agrees with the plain one in all three passes", T, float, double) {
  using namespace repopt::nn::engine;
  Random random(11);
  constexpr bool is_float = std::is_same_v<T, float>;
  for (const auto& shapes : winograd_shapes(random)) {
    CAPTURE(describe(shapes.first));
    CAPTURE(describe(shapes.second));
    CHECK(winograd_error<Stride1, Stride1, T>(random, shapes.first, shapes.second) < (is_float ? 1e-5 : 3e-14));
  }
  for (const auto& shapes : stride_2_shapes(random)) {
    CAPTURE(describe(shapes.first));
    CAPTURE(describe(shapes.second));
    CHECK(winograd_error<Stride2, Stride2Adjoint, T>(random, shapes.first, shapes.second) < (is_float ? 1e-5 : 3e-14));
  }
}

TEST_CASE("Winograd's convolution agrees with the plain one for any number of threads") {
#ifdef _OPENMP
  Random random(12);
  const int threads = omp_get_max_threads();
  // The three ways of backward weight: a dL/dU for each thread, one dL/dU for all, one for each group of output
  // channels.
  for (const ImageShape& image : {ImageShape{16, 17, 16, 64}, ImageShape{16, 17, 16, 136}, ImageShape{160, 1, 5, 520}})
    for (const int count : {1, 2, 3, 7}) {
      omp_set_num_threads(count);
      CAPTURE(describe(image));
      CAPTURE(count);
      ConvShape shape = square(image.channels, image.channels, 3);
      shape.layout = WeightLayout::hwio;
      using engine::Stride1;
      CHECK(winograd_error<Stride1, Stride1, double>(random, shape, image) < 3e-14);
    }
  omp_set_num_threads(threads);
#endif
}

TEST_CASE("The shape and the type choose the algorithm, unless the caller asks for plain") {
  CHECK(is_winograd_faster<float>(square(64, 64, 3)));
  CHECK_FALSE(is_winograd_faster<double>(square(64, 64, 3)));
  CHECK_FALSE(is_winograd_faster<float>(square(3, 64, 3)));
  CHECK(is_winograd_faster<float>(strided(square(64, 64, 3), {2, 2})));
  CHECK_FALSE(is_winograd_faster<float>(strided(square(64, 64, 3), {2, 1})));
  CHECK_FALSE(is_winograd_faster<float>(square(64, 64, 3, 1, 2)));

  Random random(12);
  ConvShape shape = square(16, 16, 3);
  shape.layout = WeightLayout::hwio;
  const auto x = random_tensor<float>(random, {2, 8, 8, 16});
  const std::vector<float> weight = random.numbers<float>(shape.size());
  Tensor<float> fastest, plain, expected({2, 8, 8, 16});
  conv_forward<float>(shape, x, weight, fastest);
  conv_forward<float>(shape, x, weight, plain, nullptr, nullptr, ConvAlgorithm::plain);
  engine::gemm_forward<float>(shape, x, weight, expected, nullptr, nullptr);
  CHECK(relative_error(plain.values(), expected.values()) == 0);
  CHECK(relative_error(fastest.values(), expected.values()) > 0);
}

TEST_CASE("An empty batch adds nothing to the weights' gradient") {
  ConvShape shape = square(16, 16, 3);
  shape.layout = WeightLayout::hwio;
  const Tensor<float> x({0, 8, 8, 16});
  const std::vector<float> once = Random(1).numbers<float>(shape.size());
  for (const ConvAlgorithm algorithm : {ConvAlgorithm::fastest, ConvAlgorithm::plain}) {
    std::vector<float> grad_weight = once;
    conv_backward_weight<float>(shape, x, x, grad_weight, nullptr, algorithm);
    CHECK(grad_weight == once);
  }
}
