// One CSLA block with constant scales, trained in three ways: as real branches, folded, and by the RepOptimizer on the
// kernel alone. They are one training.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/block_kinds.hpp"
#include "support/folded_blocks.hpp"
#include "support/loss.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

namespace {

using namespace repopt;
using namespace repopt::testing;

/// A folded kernel with an optimizer for its parameters: weights decay, scales do not.
template <class Rule>
class FoldedRecipe {
 public:
  FoldedRecipe(FoldedKernel<double>& folded, typename Rule::Options options) : folded_(folded) {
    auto& decayed = optimizer_.add_param_group(options);
    options.weight_decay = 0;
    auto& others = optimizer_.add_param_group(options);
    folded.visit_parameters([&](const std::string& name, std::span<double> value, std::span<double> grad, bool decays) {
      (decays ? decayed : others).add_param(name, value, grad);
    });
  }

  /// Returns the gradient's norm.
  double step(std::span<const double> kernel_grad, double max_norm) {
    folded_.zero_grad();
    folded_.add_gradients(kernel_grad);
    const double norm = optimizer_.clip_grad_norm(max_norm);
    optimizer_.step();
    return norm;
  }

 private:
  FoldedKernel<double>& folded_;
  RepOptimizer<Rule, double> optimizer_;
};

/// The largest relative difference between outputs, kernels and gradient norms of the three trainings.
template <class Rule>
double three_ways_differ(const CslaBlock<double>& csla, const typename Rule::Options& options) {
  Random random(23);
  const ConvShape& target = csla.target();
  FoldedBlock<double> block{target};
  for (const Branch<double>& branch : csla.branches()) block.add(random, FoldedBranch<double>::conv(branch), false);
  RealBranches<double>& real = block.real;
  FoldedKernel<double> folded = block.folded();
  FoldedRecipe<Rule> folded_training(folded, options);
  std::vector<double> weight = kernel_of(folded), grad(weight.size());
  RepOptimizer<Rule, double> optimizer;
  optimizer.add_param_group(options).add_param("weight", weight, grad, csla);

  constexpr double max_norm = 0.5;
  double largest = 0;
  const auto compare = [&](const auto& a, const auto& b) { largest = std::max(largest, relative_error(a, b)); };
  Images<double> x{2, target.in_channels, 6, 5};
  for (int t = 0; t < 50; ++t) {
    x.data = random.numbers<double>(x.data.size());
    const Images<double> y = real.forward(x);
    const std::vector<double> r = random.numbers<double>(y.data.size());
    const auto grad_of = [&](Images<double> output) {
      compare(output.data, y.data);
      for (std::size_t k = 0; k < r.size(); ++k) output.data[k] -= r[k];
      output.data = loss(output.data).grad;
      return output;
    };
    const auto kernel_grad_of = [&](const Images<double>& output) {
      return from_oihw(target, conv_weight_grad(target, x, grad_of(output)));
    };
    real.zero_grad();
    real.backward(x, grad_of(y));
    std::vector<TorchParam<double>*> params;
    real.visit_parameters([&](TorchParam<double>& param, bool) { params.push_back(&param); });
    const double norm = torch_clip_grad_norm(params, max_norm);
    for (TorchParam<double>* param : params) torch_step(*param, options);

    const double folded_norm = folded_training.step(kernel_grad_of(folded_output(folded, x)), max_norm);
    std::ranges::copy(kernel_grad_of(conv(target, x, to_oihw(target, weight))), grad.begin());
    const double kernel_norm = optimizer.clip_grad_norm(max_norm);
    optimizer.step();
    compare(std::vector{folded_norm, kernel_norm}, std::vector{norm, norm});
    compare(kernel_of(folded), weight);
  }
  return largest;
}

template <class Rule>
typename Rule::Options three_ways_options() {
  return {.lr = 0.01, .weight_decay = 0.1};
}
template <>
Sgd::Options three_ways_options<Sgd>() {
  return {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-2, .nesterov = true};
}

}  // namespace

TEST_CASE_TEMPLATE("Real branches, folded branches and the RepOptimizer are one training", Rule, Sgd, AdamW, Lion) {
  Random random(24);
  std::size_t first_layout = 0;
  for (const BlockKind& kind : block_kinds()) {
    const auto block = make_block<double>(kind, first_layout++,
                                          [&] { return random.integer(0, 4) == 0 ? 0.0 : random.real(-1.5, 1.5); });
    INFO(kind.name, ", target in ", std::string(to_string(block.target().layout)));
    CHECK(three_ways_differ<Rule>(block, three_ways_options<Rule>()) < 1e-12);
  }
}

TEST_CASE_TEMPLATE("After a search, the RepOptimizer trains the kernel as block()'s branches would be trained", Rule,
                   Sgd, AdamW, Lion) {
  Random random(25);
  const auto block = make_block<double>(block_kinds()[2], 1, [&] { return random.real(-1.5, 1.5); });
  const auto options = three_ways_options<Rule>();
  FoldedKernel<double> search(block, {.train_scales = true});
  search.visit_parameters([&](const std::string&, std::span<double> value, std::span<double>, bool) {
    std::ranges::copy(random.numbers<double>(value.size()), value.begin());
  });
  const auto gradient = [&](std::vector<double> kernel) {  // the loss is |kernel - r|^2 / 2, r is random
    for (double& k : kernel) k -= random.real(-1, 1);
    return kernel;
  };
  FoldedRecipe<Rule> search_training(search, options);
  for (int t = 0; t < 20; ++t) search_training.step(gradient(kernel_of(search)), 5);
  const CslaBlock<double> found = search.block();
  CHECK(found.branches()[0].scale != block.branches()[0].scale);

  FoldedKernel<double> branches(found);
  for (std::size_t i = 0; i < branches.parameters().size(); ++i)
    std::ranges::copy(search.parameters()[i].value, branches.parameters()[i].value.begin());
  std::vector<double> weight = kernel_of(search), grad(weight.size());
  RepOptimizer<Rule, double> optimizer;
  optimizer.add_param_group(options).add_param("weight", weight, grad, found);
  FoldedRecipe<Rule> training(branches, options);
  for (int t = 0; t < 50; ++t) {
    std::ranges::copy(gradient(weight), grad.begin());
    training.step(grad, 5);
    optimizer.clip_grad_norm(5);
    optimizer.step();
  }
  CHECK(relative_error(weight, kernel_of(branches)) < 1e-12);
}
