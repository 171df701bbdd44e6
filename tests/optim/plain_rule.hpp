// What the tests of both rules share: an ordinary parameter under a rule of the library and under PyTorch's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/torch_optim.hpp"

namespace repopt::testing {

/// The largest relative error of an ordinary parameter of 2500 elements against PyTorch's rule over 30 steps, in units
/// of T's epsilon.
template <class Rule, class T>
double strays_from_torch(const typename Rule::Options& options) {
  Random random(60);
  TorchParam<T> torch{random.numbers<T>(2500)};
  std::vector<T> weight = torch.data, grad(weight.size());
  RepOptimizer<Rule, T> optimizer;
  optimizer.add_param_group(options).add_param("weight", weight, grad);
  double largest = 0;
  for (int step = 0; step < 30; ++step) {
    torch.grad = random.numbers<T>(grad.size());
    std::ranges::copy(torch.grad, grad.begin());
    torch_step(torch, options);
    optimizer.step();
    largest = std::max(largest, relative_error(weight, torch.data));
  }
  return largest / double(std::numeric_limits<T>::epsilon());
}

/// The weights that update() of a rule leaves, from a random start after `steps` steps on random gradients: of a kernel
/// that stands for `block` or, with `grad_mult`, of an ordinary parameter whose gradient is multiplied with it.
template <class Rule, class T>
std::vector<T> updated(const CslaBlock<T>& block, const typename Rule::Options& options, std::size_t steps,
                       std::span<const T> grad_mult = {}) {
  Random random(61);
  const KernelStream<T> stream(block);
  std::vector<T> weight = random.numbers<T>(block.target().size());
  typename Rule::template State<T> state;
  for (std::size_t step = 0; step < steps; ++step) {
    std::vector<T> grad = random.numbers<T>(weight.size());
    for (std::size_t k = 0; k < grad_mult.size(); ++k) grad[k] *= grad_mult[k];
    if (grad_mult.empty())
      Rule::template update<T>(weight, grad, T(1), stream, state, options);
    else
      Rule::template update<T>(weight, grad, T(1), state, options);
  }
  return weight;
}

}  // namespace repopt::testing
