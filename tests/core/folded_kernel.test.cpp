#include "repopt/core/folded_kernel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "repopt/core/embedding.hpp"
#include "support/block_kinds.hpp"
#include "support/folded_blocks.hpp"
#include "support/numeric_gradient.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

template <class T>
double inner_product(std::span<const T> a, std::span<const T> b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += double(a[k]) * double(b[k]);
  return sum;
}

/// J d, the derivative of W' along d. W' is linear in each parameter, so each parameter contributes the kernel that d
/// makes in the parameter's place, minus the kernel that zeros make there.
template <class T>
std::vector<T> derivative(FoldedKernel<T>& folded, const std::vector<std::vector<T>>& directions) {
  std::vector<T> sum(folded.target().size());
  std::size_t next = 0;
  folded.visit_parameters([&](const std::string&, std::span<T> value, std::span<T>, bool) {
    const std::vector<T> kept(value.begin(), value.end());
    std::ranges::copy(directions[next++], value.begin());
    const std::vector<T> with = kernel_of(folded);
    std::ranges::fill(value, T(0));
    const std::vector<T> without = kernel_of(folded);
    std::ranges::copy(kept, value.begin());
    for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += with[k] - without[k];
  });
  return sum;
}

/// Checks that fold()'s derivative and add_gradients() are adjoint: <J d, G> = <d, J^T G>.
template <class T>
void check_adjoint(Random& random, const FoldedBlock<T>& block) {
  FoldedKernel<T> folded = block.folded();
  INFO("target [", describe(block.target), "], branches ", block.branches.size());
  const auto kernel_grad = random.numbers<T>(block.target.size());
  std::vector<std::vector<T>> directions;
  folded.visit_parameters([&](const std::string&, std::span<T> value, std::span<T>, bool) {
    directions.push_back(random.numbers<T>(value.size()));
  });
  folded.add_gradients(kernel_grad);
  double of_gradients = 0;
  std::size_t next = 0;
  folded.visit_parameters([&](const std::string&, std::span<T>, std::span<T> grad, bool) {
    of_gradients += inner_product<T>(directions[next++], grad);
  });
  const std::vector<T> change = derivative(folded, directions);
  const double of_kernels = inner_product<T>(change, kernel_grad);
  const double size = std::sqrt(inner_product<T>(change, change) * inner_product<T>(kernel_grad, kernel_grad));
  CHECK(std::abs(of_kernels - of_gradients) <= 450 * std::numeric_limits<T>::epsilon() * size);  // 1e-13 in double
}

/// Checks outputs and gradients of the folded kernel against layers that are computed one by one.
template <class T>
void check_against_layers(Random& random, FoldedBlock<T>& block) {
  const double tolerance = 450 * std::numeric_limits<T>::epsilon();  // 1e-13 in double
  FoldedKernel<T> folded = block.folded();
  Images<T> x{2, block.target.in_channels, 5, 4};
  x.data = random.numbers<T>(x.data.size());
  const Images<T> y = folded_output(folded, x), expected = block.real.forward(x);
  INFO("target [", describe(block.target), "], branches ", block.branches.size());
  CHECK(relative_error(y.data, expected.data) < tolerance);

  Images<T> grad_y = y;
  grad_y.data = random.numbers<T>(grad_y.data.size());
  folded.add_gradients(from_oihw(block.target, conv_weight_grad(block.target, x, grad_y)));
  block.real.backward(x, grad_y);
  std::vector<std::vector<T>> gradients;
  for (const FoldedParameter<T>& parameter : folded.parameters())
    if (parameter.is_trained()) gradients.push_back(in_torch_order<T>(parameter, parameter.grad));
  std::size_t next = 0;
  block.real.visit_parameters([&](const TorchParam<T>& parameter, bool) {
    REQUIRE(next < gradients.size());
    CHECK(relative_error(gradients[next++], parameter.grad) < tolerance);
  });
  CHECK(next == gradients.size());
}

}  // namespace

TEST_CASE_TEMPLATE("add_gradients is the adjoint of fold's derivative, for random blocks", T, double, float) {
  Random random(300);
  for (int trial = 0; trial < 300; ++trial) check_adjoint<T>(random, random_folded_block<T>(random));
}

TEST_CASE_TEMPLATE("Each kind of branch computes what its layers compute one by one", T, double, float) {
  Random random(301);
  for (std::size_t kind = 0; kind < branch_kind_names.size(); ++kind)
    for (const bool trains_scale : {false, true})
      for (int trial = 0; trial < 40; ++trial) {
        FoldedBlock<T> block{random_target(random)};
        add_random_branch(random, block, kind, trains_scale);
        INFO(std::string(branch_kind_names[kind]), trains_scale ? ", trained scale" : "");
        check_against_layers(random, block);
      }
}

TEST_CASE_TEMPLATE("Branches of all kinds fold into a kernel that computes the sum of their outputs", T, double,
                   float) {
  Random random(302);
  for (int trial = 0; trial < 60; ++trial) {
    FoldedBlock<T> block = random_folded_block<T>(random);
    check_against_layers(random, block);
  }
}

TEST_CASE_TEMPLATE("Rows longer than a vector or a cache block are folded correctly in every layout", T, double,
                   float) {
  Random random(303);
  for (const WeightLayout layout : {WeightLayout::oihw, WeightLayout::ohwi, WeightLayout::hwio})
    for (const std::size_t groups : {std::size_t(1), std::size_t(2)}) {
      FoldedBlock<T> block{square(22, 262, 3, 1, groups)};
      block.target.layout = layout;
      ConvShape conv1x1 = square(22, 262, 1, 1, groups), conv3x3 = square(22, 262, 3, 1, 2);
      conv1x1.layout = conv3x3.layout = layout;
      const auto scale = [&] { return random_scale<T>(random, 262); };
      block.add(random, FoldedBranch<T>::conv({conv3x3, scale()}), true);
      block.add(random, FoldedBranch<T>::conv({conv1x1, scale()}), true);
      block.add(random, FoldedBranch<T>::filtered({conv3x3, scale()}, random.numbers<T>(262 * 9)), true);
      const ConvShape first = square(22, 14, 1, 1, 2), second = square(14, 262, 3, 1, groups);
      block.add(random, FoldedBranch<T>::sequence(first, second, scale(), groups), true);
      block.add(random, FoldedBranch<T>::sequence(square(22, 44, 3, 1, 22), square(44, 262, 1, 1, 2), scale(), groups),
                true);
      check_adjoint(random, block);
    }
}

TEST_CASE("Gradients of trained scales and of sequences equal central differences") {
  Random random(304);
  for (int trial = 0; trial < 20; ++trial) {
    FoldedBlock<double> block{random_target(random)};
    for (std::size_t kind = 0; kind < branch_kind_names.size(); ++kind) add_random_branch(random, block, kind, true);
    FoldedKernel<double> folded = block.folded();
    INFO("target [", describe(block.target), "]");
    const auto loss = [&] {  // |W'|^2 / 2, whose gradient is W'
      const std::vector<double> kernel = kernel_of(folded);
      return inner_product<double>(kernel, kernel) / 2;
    };
    folded.add_gradients(kernel_of(folded));
    folded.visit_parameters([&](const std::string& name, std::span<double> value, std::span<double> grad, bool) {
      INFO(name);
      CHECK(relative_error(grad, numeric_gradient(value, loss)) < 1e-6);
    });
  }
}

TEST_CASE("A block folds by the Rule of Initialization, and its gradients are s times the kernel's") {
  Random random(305);
  for (int trial = 0; trial < 50; ++trial) {
    const CslaBlock<double> block = random_block<double>(random);
    const auto kernels = random_kernels(random, block);
    FoldedKernel<double> folded(block);
    std::size_t next = 0;
    folded.visit_parameters([&](const std::string&, std::span<double> value, std::span<double>, bool) {
      std::ranges::copy(kernels[next++], value.begin());
    });
    CHECK(next == block.branches().size());
    std::vector<double> expected(block.target().size());
    block.equivalent_kernel(spans(kernels), expected);
    CHECK(relative_error(kernel_of(folded), expected) < 1e-14);

    const auto kernel_grad = random.numbers<double>(expected.size());
    folded.add_gradients(kernel_grad);
    for (std::size_t i = 0; i < block.branches().size(); ++i) {
      const Branch<double>& branch = block.branches()[i];
      std::vector<double> grad(branch.shape.size());
      embed(branch.shape, block.target(), [&](std::size_t channel, std::size_t place, std::size_t index) {
        grad[index] = branch.scale[channel] * kernel_grad[place];
      });
      CHECK(relative_error(folded.parameters()[2 * i].grad, grad) < 1e-15);
    }
  }
}
