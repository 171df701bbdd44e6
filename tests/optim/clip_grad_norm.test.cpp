// RepOptimizer::clip_grad_norm() and set_grad_scale().
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"

using namespace repopt;

namespace {

constexpr double quiet_nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("set_grad_scale refuses factors that are not positive and finite, and any call after clip_grad_norm") {
  std::vector<double> weight{0};
  const std::vector<double> grad{1};
  RepSgd<double> optimizer;
  optimizer.add_param_group({.lr = 1}).add_param("weight", weight, grad);
  CHECK_THROWS_WITH_AS(optimizer.set_grad_scale(0), "grad_scale must be finite and > 0, it is 0",
                       std::invalid_argument);
  CHECK_THROWS_AS(optimizer.set_grad_scale(-1), std::invalid_argument);
  CHECK_THROWS_AS(optimizer.set_grad_scale(quiet_nan), std::invalid_argument);
  CHECK_THROWS_AS(optimizer.set_grad_scale(std::numeric_limits<double>::infinity()), std::invalid_argument);
  for (const double no_float : {1e39, 1e-50})
    CHECK_THROWS_AS(RepSgd<float>().set_grad_scale(no_float), std::invalid_argument);

  optimizer.set_grad_scale(0.5);
  optimizer.clip_grad_norm(10);
  CHECK_THROWS_WITH_AS(optimizer.set_grad_scale(0.25), "set_grad_scale(0.25) must come before clip_grad_norm()",
                       std::invalid_argument);
  optimizer.step();
  CHECK(weight[0] == -0.5);
  optimizer.set_grad_scale(0.25);
  optimizer.step();
  CHECK(weight[0] == -0.75);
}

TEST_CASE("clip_grad_norm returns the CSLA model's norm and scales the next step by torch's coefficient") {
  // Branch gradients: 2 * (3, 4), -1 * (3, 4); the ordinary parameter's is 12.
  const ConvShape shape = ConvShape::linear(2, 1);
  const CslaBlock<double> block(shape, {{shape, 2.0}, {shape, -1.0}});
  std::vector<double> weight{0, 0}, bias{0};
  const std::vector<double> grad{3, 4}, bias_grad{12};
  RepSgd<double> optimizer;
  optimizer.add_param_group({.lr = 1}).add_param("weight", weight, grad, block);
  optimizer.add_param_group({.lr = 1}).add_param("bias", bias, bias_grad);
  const double norm = std::sqrt(4 * 25 + 25 + 144.0);
  CHECK(optimizer.clip_grad_norm(0.5) == doctest::Approx(norm));
  optimizer.step();
  const double coef = 0.5 / (norm + 1e-6);
  CHECK(bias[0] == doctest::Approx(-12 * coef));
  CHECK(weight[0] == doctest::Approx(-5 * 3 * coef));
  CHECK(weight[1] == doctest::Approx(-5 * 4 * coef));

  bias[0] = 0;
  optimizer.step();
  CHECK(bias[0] == -12);  // the coefficient was used only once

  bias[0] = 0;
  CHECK(optimizer.clip_grad_norm(100) == doctest::Approx(norm));
  optimizer.step();
  CHECK(bias[0] == -12);  // a small gradient is not scaled

  bias[0] = 0;
  optimizer.clip_grad_norm(0.25);
  optimizer.clip_grad_norm(100);  // the last call counts
  optimizer.step();
  CHECK(bias[0] == -12);
}

TEST_CASE("clip_grad_norm refuses a max_norm that is not positive") {
  RepSgd<double> optimizer;
  CHECK_THROWS_WITH_AS(optimizer.clip_grad_norm(0), "max_norm must be > 0, it is 0", std::invalid_argument);
  CHECK_THROWS_AS(optimizer.clip_grad_norm(-1), std::invalid_argument);
  CHECK_THROWS_AS(optimizer.clip_grad_norm(quiet_nan), std::invalid_argument);
  CHECK_NOTHROW(optimizer.set_grad_scale(0.5));
  CHECK(optimizer.clip_grad_norm(1) == 0);
}

TEST_CASE("A NaN gradient gives a NaN norm and reaches every weight, as in PyTorch") {
  std::vector<double> a{0}, b{0};
  const std::vector<double> broken{quiet_nan}, grad{1};
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group();
  group.add_param("a", a, broken);
  group.add_param("b", b, grad);
  CHECK(std::isnan(optimizer.clip_grad_norm(1)));
  optimizer.step();
  CHECK(std::isnan(a[0]));
  CHECK(std::isnan(b[0]));
}

TEST_CASE("A float gradient whose square overflows still has a norm") {
  std::vector<float> weight{0};
  const std::vector<float> grad{1e30f};
  RepSgd<float> optimizer;
  optimizer.add_param_group().add_param("weight", weight, grad);
  CHECK(optimizer.clip_grad_norm(1) == doctest::Approx(1e30));
}
