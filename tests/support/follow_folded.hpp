// follow_folded: trains real branches and their folded kernel side by side on the same pictures and measures how far
// the folded one strays. The one comparison of all folded equivalence tests, and of the mutations that must fail it.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/folded_kernel.hpp"
#include "repopt/optim/ema.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/folded_blocks.hpp"
#include "support/follow_csla.hpp"
#include "support/loss.hpp"
#include "support/real_branches.hpp"
#include "support/relative_error.hpp"

namespace repopt::testing {

/// What a mutation does wrong on the folded side.
template <class T>
struct FoldedMutation {
  std::function<void(std::span<T> kernel_grad)> before_add_gradients{};
  std::function<void(const FoldedKernel<T>&)> after_add_gradients{};
  bool decays_scales = false;
  bool averages_kernel = false;  ///< Ema gets W' instead of theta
};

/// The largest relative errors over all iterations.
struct FoldedStrayed {
  double output = 0, parameters = 0, norm = 0;
  double average = 0;  ///< the error of the last output with averaged parameters

  double largest() const { return std::max({output, parameters, norm, average}); }
};

/// A running average of the real branches' parameters, by the definition that Ema quotes.
template <class T>
class RealAverage {
 public:
  explicit RealAverage(double decay) : decay_(decay) {}

  void update(RealBranches<T> now) {
    const T keep = averages_.branches.empty() ? T(0) : T(decay_);
    if (averages_.branches.empty()) averages_ = now;
    std::vector<TorchParam<T>*> current;
    now.visit_parameters([&](TorchParam<T>& param, bool) { current.push_back(&param); });
    std::size_t next = 0;
    averages_.visit_parameters([&](TorchParam<T>& average, bool) {
      const std::vector<T>& data = current[next++]->data;
      for (std::size_t k = 0; k < data.size(); ++k) average.data[k] = keep * average.data[k] + (1 - keep) * data[k];
    });
  }

  Images<T> forward(const Images<T>& x) const { return averages_.forward(x); }

 private:
  double decay_;
  RealBranches<T> averages_{};
};

/// The largest relative error of a folded kernel's trained parameters against the real branches'.
template <class T>
double parameter_error(const FoldedKernel<T>& folded, RealBranches<T>& real) {
  std::vector<std::vector<T>> expected;
  real.visit_parameters([&](const TorchParam<T>& param, bool) { expected.push_back(param.data); });
  double largest = 0;
  std::size_t next = 0;
  for (const FoldedParameter<T>& parameter : folded.parameters())
    if (parameter.is_trained())
      largest = std::max(largest, relative_error(in_torch_order<T>(parameter, parameter.value), expected.at(next++)));
  return largest;
}

/// The loss is that of follow_csla(): var(y - r, unbiased) + mean(y - r)^2 with fresh random x and r for each
/// micro-batch.
template <class Rule, std::floating_point T>
FoldedStrayed follow_folded(FoldedBlock<T> block, const Training<Rule>& training,
                            const FoldedMutation<T>& mutation = {}) {
  Random random(2206);
  const ConvShape& target = block.target;
  FoldedKernel<T> folded = block.folded();
  std::vector<T> kernel(target.size());
  auto options = training.options, scale_options = options;
  scale_options.weight_decay = 0;
  RepOptimizer<Rule, T> optimizer;
  auto& decayed = optimizer.add_param_group(options);
  auto& others = optimizer.add_param_group(mutation.decays_scales ? options : scale_options);
  constexpr double decay = 0.75;
  Ema<T> ema(decay);
  RealAverage<T> real_average(decay);
  folded.visit_parameters([&](const std::string& name, std::span<T> value, std::span<T> grad, bool decays) {
    (decays ? decayed : others).add_param(name, value, grad);
    if (!mutation.averages_kernel) ema.add_param(value);
  });
  if (mutation.averages_kernel) ema.add_param(kernel);

  FoldedStrayed strayed;
  Images<T> x{2, target.in_channels, training.height, training.width};
  for (std::size_t t = 0; t < training.iterations; ++t) {
    if (training.schedule) {
      options.lr = scale_options.lr = training.schedule(t);
      optimizer.set_lr(options.lr);
    }
    folded.fold(kernel);
    folded.zero_grad();
    block.real.zero_grad();
    for (std::size_t micro_batch = 0; micro_batch < training.micro_batches; ++micro_batch) {
      x.data = random.numbers<T>(x.data.size());
      Images<T> theirs = block.real.forward(x), ours = conv(target, x, to_oihw(target, kernel));
      strayed.output = std::max(strayed.output, relative_error(ours.data, theirs.data));
      for (std::size_t k = 0; k < ours.data.size(); ++k) {
        const T r = T(random.real(-1, 1));
        theirs.data[k] -= r;
        ours.data[k] -= r;
      }
      theirs.data = loss(theirs.data).grad;
      ours.data = loss(ours.data).grad;
      for (T& g : theirs.data) g /= T(training.micro_batches);
      for (T& g : ours.data) g /= T(training.micro_batches);
      block.real.backward(x, theirs);
      std::vector<T> kernel_grad = from_oihw(target, conv_weight_grad(target, x, ours));
      if (mutation.before_add_gradients) mutation.before_add_gradients(kernel_grad);
      folded.add_gradients(kernel_grad);
    }
    if (mutation.after_add_gradients) mutation.after_add_gradients(folded);
    if (training.max_norm > 0) {
      std::vector<TorchParam<T>*> params;
      block.real.visit_parameters([&](TorchParam<T>& param, bool) { params.push_back(&param); });
      const double norm = torch_clip_grad_norm(params, training.max_norm);
      const double our_norm = optimizer.clip_grad_norm(training.max_norm);
      strayed.norm = std::max(strayed.norm, std::abs(our_norm - norm) / norm);
    }
    block.real.visit_parameters(
        [&](TorchParam<T>& param, bool decays) { torch_step(param, decays ? options : scale_options); });
    optimizer.step();
    strayed.parameters = std::max(strayed.parameters, parameter_error(folded, block.real));
    if (mutation.averages_kernel) folded.fold(kernel);
    ema.update();
    real_average.update(block.real);
  }
  ema.swap();
  if (!mutation.averages_kernel) folded.fold(kernel);
  strayed.average = relative_error(conv(target, x, to_oihw(target, kernel)).data, real_average.forward(x).data);
  return strayed;
}

}  // namespace repopt::testing
