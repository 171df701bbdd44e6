// One step of RepSgd on a CSLA block: 3x3 with s = 2 and 1x1 with t = 3. GradMult is 4, at the centre tap 4 + 9.
#include <repopt/core/csla_block.hpp>
#include <repopt/optim/rep_optimizer.hpp>
#include <repopt/optim/rules/sgd.hpp>
#include <repopt/version.hpp>
#include <vector>

#ifdef VERSION_OF_PACKAGE
static_assert(REPOPT_VERSION == VERSION_OF_PACKAGE);
#endif

int main() {
  const repopt::ConvShape conv3x3;
  const repopt::ConvShape conv1x1{.kernel_size = {1, 1}, .padding = {0, 0}};
  const repopt::CslaBlock<double> block(conv3x3, {{conv3x3, 2.0}, {conv1x1, 3.0}});
  std::vector<double> weight(9, 0.0);
  const std::vector<double> grad(9, 1.0);

  repopt::RepSgd<double> optimizer;
  optimizer.add_param_group({.lr = 0.5}).add_param("conv.weight", weight, grad, block);
  optimizer.step();
  return weight[0] == -2.0 && weight[4] == -6.5 ? 0 : 1;
}
