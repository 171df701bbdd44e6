// follow_csla: trains the CSLA block and the target kernel side by side on the same pictures and measures the
// difference. All equivalence tests use it, and so do the mutations, which must fail it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/ema.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/csla_reference.hpp"
#include "support/loss.hpp"
#include "support/naive_conv.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

namespace repopt::testing {

template <class Rule>
struct Training {
  typename Rule::Options options;
  std::size_t iterations = 50, micro_batches = 1;
  double max_norm = 0;                            ///< argument of clip_grad_norm; 0 for no clipping
  std::function<double(std::size_t)> schedule{};  ///< schedule of lr; may be empty
  std::size_t height = 6, width = 5;
};

/// The mistake of a mutation in training the target.
template <class T>
struct Mutation {
  std::optional<CslaBlock<T>> optimized_as{};  ///< the optimizer gets this block instead of the true one
  bool clip_by_raw_norm = false;
};

/// The largest relative errors over all iterations.
struct Strayed {
  double output = 0, kernel = 0, bias = 0, norm = 0;
  double average = 0;  ///< error of the kernel's Ema, compared with the averages of the branches' kernels

  double largest() const { return std::max({output, kernel, bias, norm, average}); }
};

/// The target structure with Gradient Re-parameterization: one kernel, one bias and their gradients.
template <class Rule, class T>
struct TargetModel {
  ConvShape shape;
  std::vector<T> weight, grad = std::vector<T>(weight.size());
  std::vector<T> bias, bias_grad = std::vector<T>(bias.size());

  Images<T> forward(const Images<T>& x) const {
    Images<T> y = conv(shape, x, to_oihw(shape, weight));
    for (std::size_t k = 0; k < y.data.size(); ++k) y.data[k] += bias[y.channel_of(k)];
    return y;
  }

  void backward(const Images<T>& x, const Images<T>& grad_y) {
    const std::vector<T> sum = from_oihw(shape, conv_weight_grad(shape, x, grad_y));
    for (std::size_t k = 0; k < grad.size(); ++k) grad[k] += sum[k];
    for (std::size_t k = 0; k < grad_y.data.size(); ++k) bias_grad[grad_y.channel_of(k)] += grad_y.data[k];
  }

  void zero_grad() {
    std::ranges::fill(grad, T(0));
    std::ranges::fill(bias_grad, T(0));
  }

  double raw_norm() const {
    double sum = 0;
    for (const T g : grad) sum += double(g) * double(g);
    for (const T g : bias_grad) sum += double(g) * double(g);
    return std::sqrt(sum);
  }
};

/// Runs the comparison. The loss is var(y - r, unbiased) + mean(y - r)^2 with new random pictures x and targets r for
/// each micro-batch, so that the outputs do not decay to 0. `TargetRule` equals `Rule` except in mutations.
template <class Rule, class T, class TargetRule = Rule>
Strayed follow_csla(const CslaBlock<T>& block, const Training<Rule>& training, const Mutation<T>& mutation = {}) {
  Random random(2205);
  const ConvShape& target = block.target();
  const std::vector<std::vector<T>> kernels = random_kernels(random, block);
  std::vector<std::vector<T>> kernels_oihw;
  for (std::size_t i = 0; i < kernels.size(); ++i)
    kernels_oihw.push_back(to_oihw(block.branches()[i].shape, kernels[i]));
  const std::vector<T> bias = random.numbers<T>(target.out_channels);

  CslaReference<Rule, T> csla(block.branches(), kernels_oihw, bias);
  TargetModel<Rule, T> model{.shape = target, .weight = std::vector<T>(target.size()), .bias = bias};
  block.equivalent_kernel(spans(kernels), model.weight);

  auto options = training.options, bias_options = options;
  bias_options.weight_decay = 0;
  RepOptimizer<TargetRule, T> optimizer;
  optimizer.add_param_group(options).add_param("weight", model.weight, model.grad,
                                               mutation.optimized_as.value_or(block));
  optimizer.add_param_group(bias_options).add_param("bias", model.bias, model.bias_grad);
  optimizer.set_grad_scale(1.0 / double(training.micro_batches));

  constexpr double decay = 0.75;
  Ema<T> ema(decay);
  ema.add_param(model.weight);
  std::vector<TorchParam<T>> averages;

  Strayed strayed;
  const auto compare = [](double& largest, const auto& ours, const auto& csla_s) {
    largest = std::max(largest, relative_error(ours, csla_s));
  };
  for (std::size_t t = 0; t < training.iterations; ++t) {
    if (training.schedule) {
      options.lr = bias_options.lr = training.schedule(t);
      optimizer.set_lr(options.lr);
    }
    model.zero_grad();
    for (std::size_t micro_batch = 0; micro_batch < training.micro_batches; ++micro_batch) {
      Images<T> x{2, target.in_channels, training.height, training.width};
      x.data = random.numbers<T>(x.data.size());
      Images<T> theirs = csla.forward(x), ours = model.forward(x);
      compare(strayed.output, ours.data, theirs.data);
      for (std::size_t k = 0; k < ours.data.size(); ++k) {
        const T r = T(random.real(-1, 1));
        theirs.data[k] -= r;
        ours.data[k] -= r;
      }
      theirs.data = loss(theirs.data).grad;
      ours.data = loss(ours.data).grad;
      csla.backward(x, theirs, training.micro_batches);
      model.backward(x, ours);
    }
    if (training.max_norm > 0) {
      const double norm = csla.clip_grad_norm(training.max_norm);
      if (mutation.clip_by_raw_norm) {
        const double share = 1.0 / double(training.micro_batches);
        optimizer.set_grad_scale(share * std::min(1.0, training.max_norm / (share * model.raw_norm() + 1e-6)));
      } else {
        const double our_norm = optimizer.clip_grad_norm(training.max_norm);
        strayed.norm = std::max(strayed.norm, std::abs(our_norm - norm) / norm);
      }
    }
    csla.step(options, bias_options);
    optimizer.step();
    compare(strayed.kernel, to_oihw(target, model.weight),
            kernel_by_coordinates(target, block.branches(), csla.kernels()));
    ema.update();
    if (t == 0) averages = csla.kernels();
    for (std::size_t i = 0; i < averages.size(); ++i)
      for (std::size_t k = 0; k < averages[i].data.size(); ++k)
        averages[i].data[k] += T(1 - decay) * (csla.kernels()[i].data[k] - averages[i].data[k]);
    ema.swap();
    compare(strayed.average, to_oihw(target, model.weight), kernel_by_coordinates(target, block.branches(), averages));
    ema.swap();
    compare(strayed.bias, model.bias, csla.bias());
  }
  return strayed;
}

}  // namespace repopt::testing
