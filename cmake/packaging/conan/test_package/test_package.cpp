// One step of SGD on one weight that stands for two branches, s = 1 and s = 2: GradMult is 1 + 4.
#include <repopt/core/csla_block.hpp>
#include <repopt/optim/rep_optimizer.hpp>
#include <vector>

int main() {
  const auto shape = repopt::ConvShape::linear(1, 1);
  const repopt::CslaBlock<float> block(shape, {{shape, 1.0F}, {shape, 2.0F}});
  std::vector<float> weight{0};
  const std::vector<float> grad{1};
  repopt::RepSgd<float> optimizer;
  optimizer.add_param_group({.lr = 1}).add_param("weight", weight, grad, block);
  optimizer.step();
  return weight[0] == -5 ? 0 : 1;
}
