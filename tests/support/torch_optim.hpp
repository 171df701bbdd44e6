// torch.optim.SGD, Adam, AdamW and torch.nn.utils.clip_grad_norm_, element by element as PyTorch's source reads, and
// Lion and LAMB as their articles' algorithms read.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "repopt/optim/rules/adam.hpp"
#include "repopt/optim/rules/adamw.hpp"
#include "repopt/optim/rules/lamb.hpp"
#include "repopt/optim/rules/lion.hpp"
#include "repopt/optim/rules/sgd.hpp"

namespace repopt::testing {

/// A torch.nn.Parameter with its grad and its optimizer state.
template <class T>
struct TorchParam {
  std::vector<T> data, grad = std::vector<T>(data.size());
  std::vector<T> momentum_buffer{};
  std::vector<T> exp_avg{}, exp_avg_sq{}, max_exp_avg_sq{};
  std::size_t step = 0;
};

/// SGD as in torch/optim/sgd.py, _single_tensor_sgd.
template <class T>
void torch_step(TorchParam<T>& param, const Sgd::Options& options) {
  const bool no_buffer = param.momentum_buffer.empty();
  if (no_buffer) param.momentum_buffer.resize(param.data.size());
  for (std::size_t k = 0; k < param.data.size(); ++k) {
    T d_p = param.grad[k];
    if (options.weight_decay != 0) d_p += T(options.weight_decay) * param.data[k];
    if (options.momentum != 0) {
      T& buf = param.momentum_buffer[k];
      if (no_buffer) {
        buf = d_p;
      } else {
        buf = T(options.momentum) * buf + T(1 - options.dampening) * d_p;
      }
      d_p = options.nesterov ? d_p + T(options.momentum) * buf : buf;
    }
    param.data[k] -= T(options.lr) * d_p;
  }
}

/// AdamW as in torch/optim/adamw.py, _single_tensor_adamw.
template <class T>
void torch_step(TorchParam<T>& param, const AdamW::Options& options) {
  for (auto* moment : {&param.exp_avg, &param.exp_avg_sq, &param.max_exp_avg_sq}) moment->resize(param.data.size());
  const auto [beta1, beta2] = options.betas;
  const auto step = double(++param.step);
  const double bias_correction1 = 1 - std::pow(beta1, step), bias_correction2 = 1 - std::pow(beta2, step);
  for (std::size_t k = 0; k < param.data.size(); ++k) {
    param.data[k] *= T(1 - options.lr * options.weight_decay);
    param.exp_avg[k] = T(beta1) * param.exp_avg[k] + T(1 - beta1) * param.grad[k];
    param.exp_avg_sq[k] = T(beta2) * param.exp_avg_sq[k] + T(1 - beta2) * param.grad[k] * param.grad[k];
    T second_moment = param.exp_avg_sq[k];
    if (options.amsgrad) second_moment = param.max_exp_avg_sq[k] = std::max(param.max_exp_avg_sq[k], second_moment);
    const T denom = std::sqrt(second_moment) / T(std::sqrt(bias_correction2)) + T(options.eps);
    param.data[k] -= T(options.lr / bias_correction1) * param.exp_avg[k] / denom;
  }
}

/// torch/optim/adam.py, _single_tensor_adam.
template <class T>
void torch_step(TorchParam<T>& param, const Adam::Options& options) {
  for (auto* moment : {&param.exp_avg, &param.exp_avg_sq, &param.max_exp_avg_sq}) moment->resize(param.data.size());
  const auto [beta1, beta2] = options.betas;
  const auto step = double(++param.step);
  const double bias_correction1 = 1 - std::pow(beta1, step), bias_correction2 = 1 - std::pow(beta2, step);
  for (std::size_t k = 0; k < param.data.size(); ++k) {
    T grad = param.grad[k];
    if (options.weight_decay != 0) grad += T(options.weight_decay) * param.data[k];
    param.exp_avg[k] += T(1 - beta1) * (grad - param.exp_avg[k]);
    param.exp_avg_sq[k] = T(beta2) * param.exp_avg_sq[k] + T(1 - beta2) * grad * grad;
    T second_moment = param.exp_avg_sq[k];
    if (options.amsgrad) second_moment = param.max_exp_avg_sq[k] = std::max(param.max_exp_avg_sq[k], second_moment);
    const T denom = std::sqrt(second_moment) / T(std::sqrt(bias_correction2)) + T(options.eps);
    param.data[k] -= T(options.lr / bias_correction1) * param.exp_avg[k] / denom;
  }
}

/// LAMB, arXiv 1904.00962, algorithm 2, with phi(z) = z and a ratio of 1 where a norm is 0.
template <class T>
void torch_step(TorchParam<T>& param, const Lamb::Options& options) {
  for (auto* moment : {&param.exp_avg, &param.exp_avg_sq}) moment->resize(param.data.size());
  const auto [beta1, beta2] = options.betas;
  const auto step = double(++param.step);
  std::vector<T> update(param.data.size());
  double weight_square = 0, update_square = 0;
  for (std::size_t k = 0; k < update.size(); ++k) {
    param.exp_avg[k] = T(beta1) * param.exp_avg[k] + T(1 - beta1) * param.grad[k];
    param.exp_avg_sq[k] = T(beta2) * param.exp_avg_sq[k] + T(1 - beta2) * param.grad[k] * param.grad[k];
    const T m = param.exp_avg[k] / T(1 - std::pow(beta1, step)), v = param.exp_avg_sq[k] / T(1 - std::pow(beta2, step));
    update[k] = m / (std::sqrt(v) + T(options.eps)) + T(options.weight_decay) * param.data[k];
    weight_square += double(param.data[k]) * double(param.data[k]);
    update_square += double(update[k]) * double(update[k]);
  }
  const double weight_norm = std::sqrt(weight_square), update_norm = std::sqrt(update_square);
  const double ratio = weight_norm > 0 && update_norm > 0 ? weight_norm / update_norm : 1;
  for (std::size_t k = 0; k < update.size(); ++k) param.data[k] -= T(options.lr * ratio) * update[k];
}

/// Lion, arXiv 2302.06675, algorithm 2.
template <class T>
void torch_step(TorchParam<T>& param, const Lion::Options& options) {
  param.exp_avg.resize(param.data.size());
  const auto [beta1, beta2] = options.betas;
  for (std::size_t k = 0; k < param.data.size(); ++k) {
    const T c = T(beta1) * param.exp_avg[k] + T(1 - beta1) * param.grad[k];
    const T sign = c > 0 ? T(1) : c < 0 ? T(-1) : T(0);
    param.data[k] -= T(options.lr) * (sign + T(options.weight_decay) * param.data[k]);
    param.exp_avg[k] = T(beta2) * param.exp_avg[k] + T(1 - beta2) * param.grad[k];
  }
}

/// Clips all gradients and returns their norm before clipping.
template <class T>
double torch_clip_grad_norm(const std::vector<TorchParam<T>*>& params, double max_norm) {
  double sum = 0;
  for (const TorchParam<T>* param : params)
    for (const T g : param->grad) sum += double(g) * double(g);
  const double norm = std::sqrt(sum), coef = std::min(1.0, max_norm / (norm + 1e-6));
  for (TorchParam<T>* param : params)
    for (T& g : param->grad) g *= T(coef);
  return norm;
}

}  // namespace repopt::testing
