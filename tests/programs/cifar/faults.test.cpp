#include "training/faults.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <optional>
#include <string>

#include "repopt/nn/models/reparameterize.hpp"

using namespace repopt;
using namespace repopt_cifar;

TEST_CASE("A fault names the number that is not finite and its place, beginning at the network's input") {
  const nn::VggConfig config{.stem = 2, .widths = {2, 2, 2, 2}, .blocks = {1, 1, 1, 1}};
  nn::Vgg<float> model = nn::plain_vgg<float>(config, 0);
  RepSgd<float> optimizer;
  nn::add_parameters(optimizer, model, {.lr = 0.1}, {});
  CHECK(network_fault(model) == std::nullopt);
  CHECK(loss_fault("loss", 1e300, model) == std::nullopt);
  CHECK(gradient_fault(optimizer) == std::nullopt);

  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(loss_fault("test loss", inf, model) == "the test loss is inf: the network is finite, its logits are not");
  model.visit_parameters([&](const std::string& name, nn::Parameter<float>& parameter) {
    if (name == "stage2.0.bn.running_var") parameter.value[1] = -inf;
    if (name == "linear.bias") parameter.value[3] = parameter.grad[9] = inf;
  });
  CHECK(network_fault(model) == "stage2.0.bn.running_var is -inf at index 1");
  CHECK(loss_fault("loss", -inf, model) == "the loss is -inf: stage2.0.bn.running_var is -inf at index 1");
  CHECK(gradient_fault(optimizer) == "the gradient of linear.bias is inf at index 9");
}
