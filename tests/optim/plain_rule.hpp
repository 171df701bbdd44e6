// Comparisons that the tests of several rules share: an ordinary parameter under a rule of the library and under
// PyTorch's rule.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
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

/// The weights after `steps` steps of a rule's update() on random gradients, from a random start. Without `grad_mult`
/// they are a kernel that stands for `block`. With `grad_mult` they are an ordinary parameter whose gradient is
/// multiplied by `grad_mult`.
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

/// An ordinary parameter in an optimizer of its own. The gradient of step t is the same for every one.
template <class Rule>
struct PlainParam {
  std::vector<double> weight = std::vector<double>(7, 0.5), grad = std::vector<double>(7);
  RepOptimizer<Rule, double> optimizer{};

  explicit PlainParam(const typename Rule::Options& options) {
    optimizer.add_param_group(options).add_param("weight", weight, grad);
  }

  void train(std::size_t first_step, std::size_t steps) {
    for (std::size_t t = first_step; t < first_step + steps; ++t) {
      std::ranges::copy(Random(900 + t).numbers<double>(grad.size()), grad.begin());
      optimizer.step();
    }
  }
};

/// Whether training goes on bit by bit from saved weights and state, also where they replace others.
template <class Rule>
bool resumes(const typename Rule::Options& options) {
  PlainParam<Rule> straight(options), stopped(options), resumed({.lr = 0.5});
  straight.train(0, 10);
  stopped.train(0, 4);
  resumed.train(50, 2);
  resumed.weight = stopped.weight;
  resumed.optimizer.load_state_dict(stopped.optimizer.state_dict());
  resumed.train(4, 6);
  return resumed.weight == straight.weight;
}

/// The message of the refusal of a saved state, after `spoil`; empty if it was not refused. Checks that a refusal
/// changes nothing.
template <class Rule>
std::string refusal_of_state(const auto& spoil) {
  PlainParam<Rule> saved({}), loads({}), stays({});
  saved.train(0, 3);
  loads.train(5, 2);
  stays.train(5, 2);
  StateDict<double> state = saved.optimizer.state_dict();
  spoil(state);
  try {
    loads.optimizer.load_state_dict(state);
    return {};
  } catch (const std::invalid_argument& error) {
    loads.train(7, 2);
    stays.train(7, 2);
    return loads.weight == stays.weight ? error.what() : "the state was changed";
  }
}

}  // namespace repopt::testing
