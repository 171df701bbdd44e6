// Trains a network of your own, which is written with Eigen and without repopt/nn, to tell two spirals apart. Its
// hidden layer of 32 units has a residual connection as its prior. The optimizer sees only raw buffers.
#include <Eigen/Core>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <random>
#include <span>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/lr_schedule.hpp"
#include "repopt/optim/rep_optimizer.hpp"

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// y = x * weight^T. `weight` is (out_features, in_features) in row-major order, as in PyTorch. This is the order of a
/// 1x1 kernel in OIHW.
struct Dense {
  Matrix weight, grad, x;

  Dense(int in_features, int out_features, std::mt19937& random)
      : weight(out_features, in_features), grad(Matrix::Zero(out_features, in_features)) {
    const float bound = 1 / std::sqrt(float(in_features));
    std::uniform_real_distribution<float> uniform(-bound, bound);
    weight = weight.unaryExpr([&](float) { return uniform(random); });
  }
  Matrix forward(const Matrix& input) {
    x = input;
    return x * weight.transpose();
  }
  Matrix backward(const Matrix& grad_y) {
    grad += grad_y.transpose() * x;
    return grad_y * weight;
  }
  std::span<float> weights() { return {weight.data(), std::size_t(weight.size())}; }
  std::span<const float> grads() const { return {grad.data(), std::size_t(grad.size())}; }
};

/// Makes two spirals of 200 points each. A point is (x, y, 1), and its label is -1 or 1.
void make_spirals(Matrix& points, Eigen::VectorXf& labels) {
  points.resize(400, 3);
  labels.resize(400);
  for (int i = 0; i < 400; ++i) {
    const float turn = float(i / 2) / 200, side = i % 2 == 0 ? 1.f : -1.f;
    const float angle = 3 * std::numbers::pi_v<float> * turn, radius = 0.2f + 1.8f * turn;
    points.row(i) << side * radius * std::cos(angle), side * radius * std::sin(angle), 1;
    labels[i] = side;
  }
}

int main() {
  using namespace repopt;
  constexpr int hidden = 32, steps = 600;
  std::mt19937 random(1);
  Matrix points;
  Eigen::VectorXf labels;
  make_spirals(points, labels);
  Dense first(3, hidden, random), middle(hidden, hidden, random), last(hidden, 1, random);

  // The prior: middle(x) = 0.7 * dense(x) + trainable scale * x. A fully connected layer is a 1x1 convolution.
  const ConvShape shape = ConvShape::linear(hidden, hidden);
  const CslaBlock<float> residual(shape, {{shape, 0.7f}, Branch<float>::identity(hidden)});
  const std::vector<float> dense(middle.weights().begin(), middle.weights().end()), ones(hidden, 1);
  residual.equivalent_kernel({dense, ones}, middle.weights());

  RepAdamW<float> optimizer;
  auto& group = optimizer.add_param_group({.lr = 5e-3, .weight_decay = 1e-3});
  group.add_param("first.weight", first.weights(), first.grads());
  group.add_param("middle.weight", middle.weights(), middle.grads(), residual);
  group.add_param("last.weight", last.weights(), last.grads());
  const WarmupCosineLr schedule{.lr = 5e-3, .warmup_steps = 20, .total_steps = steps};

  for (std::size_t step = 0; step < steps; ++step) {
    for (Dense* layer : {&first, &middle, &last}) layer->grad.setZero();
    const Matrix a = first.forward(points).array().tanh(), b = middle.forward(a).array().tanh();
    const Eigen::ArrayXf margin = last.forward(b).col(0).array() * labels.array();
    const Eigen::ArrayXf grad_margin = -1 / (1 + margin.exp()) / float(labels.size());
    const Matrix grad_b = last.backward((grad_margin * labels.array()).matrix());
    const Matrix grad_a = middle.backward((grad_b.array() * (1 - b.array().square())).matrix());
    first.backward((grad_a.array() * (1 - a.array().square())).matrix());
    optimizer.set_lr(schedule(step));
    optimizer.step();
    if (step % 100 == 0 || step + 1 == steps)
      std::printf("step %3zu  loss %.4f  right %5.1f %%\n", step, double((1 + (-margin).exp()).log().mean()),
                  100.0 * double((margin > 0).count()) / double(labels.size()));
  }
}
