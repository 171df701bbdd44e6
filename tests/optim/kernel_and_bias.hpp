// A small model: what the tests of the optimizer's parameters share.
#pragma once

#include <vector>

#include "repopt/core/csla_block.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"

namespace repopt::testing {

/// A kernel with its own scales and a bias, both with gradients.
template <class T>
struct KernelAndBias {
  CslaBlock<T> block;
  std::vector<T> weight, grad, bias, bias_grad;

  explicit KernelAndBias(Random& random)
      : block(make_block<T>(block_kinds()[2], 0, [&] { return random.real(-1.5, 1.5); })),
        weight(random.numbers<T>(block.target().size())),
        grad(random.numbers<T>(weight.size())),
        bias(random.numbers<T>(4)),
        bias_grad(random.numbers<T>(4)) {}

  void add_to(auto& group) {
    group.add_param("weight", weight, grad, block);
    group.add_param("bias", bias, bias_grad);
  }
};

}  // namespace repopt::testing
