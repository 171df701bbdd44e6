#include <doctest/doctest.h>

#include <span>
#include <stdexcept>
#include <vector>

#include "optim/kernel_and_bias.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"

using namespace repopt;
using namespace repopt::testing;

TEST_CASE("A parameter that is bound to new buffers continues there with its old state") {
  Random random(84);
  KernelAndBias<double> straight(random), moved = straight;
  RepSgd<double> of_straight, of_moved;
  straight.add_to(of_straight.add_param_group({.lr = 0.1, .momentum = 0.9}));
  moved.add_to(of_moved.add_param_group({.lr = 0.1, .momentum = 0.9}));
  of_straight.step();
  of_moved.step();
  std::vector<double> weight = moved.weight, grad = moved.grad;
  of_moved.rebind("weight", weight, grad);
  moved.weight.assign(moved.weight.size(), 7);
  of_straight.step();
  of_moved.step();
  CHECK(weight == straight.weight);
  CHECK(moved.weight.front() == 7);

  const auto refuses = [&](const char* name, std::span<double> new_weight, std::span<const double> new_grad,
                           const char* message) {
    CHECK_THROWS_WITH_AS(of_moved.rebind(name, new_weight, new_grad), message, std::invalid_argument);
  };
  refuses("gamma", moved.weight, moved.grad, "there is no parameter 'gamma'");
  refuses("bias", moved.weight, moved.grad, "'bias' has 4 elements, the new weight has 144");
  refuses("bias", moved.bias, moved.grad, "grad of 'bias' has 144 elements, its weight has 4");
  refuses("bias", std::span(weight).first(4), moved.bias_grad, "weights of 'bias' and 'weight' overlap in memory");
  refuses("bias", moved.bias, moved.bias, "weight and grad of 'bias' overlap in memory");
  of_straight.step();
  of_moved.step();
  CHECK(moved.bias == straight.bias);
  CHECK_NOTHROW(of_moved.rebind("weight", weight, moved.grad));  // another gradient for the same weight
}

TEST_CASE("Parameters that are bound together may exchange their buffers") {
  std::vector<double> a{1, 2}, b{3, 4};
  const std::vector<double> grad_of_a{1, 1}, grad_of_b{2, 2};
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.5, .momentum = 0.5});
  group.add_param("a", a, grad_of_a);
  group.add_param("b", b, grad_of_b);
  optimizer.step();
  CHECK_THROWS_WITH_AS(optimizer.rebind("a", b, grad_of_a), "weights of 'a' and 'b' overlap in memory",
                       std::invalid_argument);
  const std::vector<Binding<double>> exchanged{{"a", b, grad_of_a}, {"b", a, grad_of_b}};
  optimizer.rebind(exchanged);
  a = b = {0, 0};
  optimizer.step();
  CHECK(b == std::vector<double>{-0.75, -0.75});  // a's momentum
  CHECK(a == std::vector<double>{-1.5, -1.5});

  const auto refuses = [&](const std::vector<Binding<double>>& bindings, const char* message) {
    CHECK_THROWS_WITH_AS(optimizer.rebind(bindings), message, std::invalid_argument);
    CHECK(group.params()[0].weight.data() == b.data());
  };
  std::vector<double> other{0, 0};
  refuses({{"a", other, grad_of_a}, {"c", a, grad_of_b}}, "there is no parameter 'c'");
  refuses({{"a", other, grad_of_a}, {"a", other, grad_of_a}}, "'a' is listed twice");
  refuses({{"a", other, grad_of_a}, {"b", other, grad_of_b}}, "weights of 'a' and 'b' overlap in memory");
  CHECK_NOTHROW(optimizer.rebind(std::vector<Binding<double>>()));
  CHECK_NOTHROW(RepSgd<double>().rebind(std::vector<Binding<double>>()));
}
