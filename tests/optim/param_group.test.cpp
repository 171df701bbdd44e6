#include "repopt/optim/param_group.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/allocations.hpp"
#include "support/block_kinds.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// Whether add_param() takes a gradient that is gone after the call.
template <class Group>
concept TakesTemporaryGrad = requires(Group& group, std::vector<float>& weight) {
  group.add_param("weight", weight, std::vector<float>(36));
};

static_assert(!TakesTemporaryGrad<RepSgd<float>::ParamGroup>);

}  // namespace

TEST_CASE("A group holds its parameters, with the user's buffers, and its options") {
  const ConvShape shape = square(2, 2, 3);
  const CslaBlock<float> block(shape, {{shape, 0.5f}, Branch<float>::identity(2)});
  std::vector<float> weight(36), grad(36), kernel(36), kernel_grad(36), bias(2), bias_grad(2);
  RepSgd<float> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.25, .momentum = 0.5});
  CHECK(group.options().momentum == 0.5);
  group.add_param("block", weight, grad, block);
  group.add_param("kernel", kernel, kernel_grad, shape);
  group.add_param("bias", bias, bias_grad);

  REQUIRE(group.params().size() == 3);
  CHECK(group.params()[0].name == "block");
  CHECK(group.params()[0].weight.data() == weight.data());
  CHECK(group.params()[0].grad.data() == grad.data());
  CHECK(group.params()[0].branches() == block.branches());
  CHECK(group.params()[0].shape == shape);
  CHECK(group.params()[1].shape == shape);
  CHECK(group.params()[1].branches().empty());
  CHECK(group.params()[2].shape == std::nullopt);
  CHECK(group.params()[2].branches().empty());
}

TEST_CASE("A parameter that does not fit is refused, and nothing is added") {
  std::vector<double> weight(12), grad(12), other(12), other_grad(12);
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group();
  auto& second_group = optimizer.add_param_group();
  group.add_param("weight", weight, grad);
  const std::span<double> all = weight;
  const auto refuses = [&](auto add, const char* message) {
    CHECK_THROWS_WITH_AS(add(), message, std::invalid_argument);
    CHECK(group.params().size() == 1);
    CHECK(second_group.params().empty());
  };
  refuses([&] { group.add_param("conv", other, other_grad, square(1, 1, 3)); },
          "weight of 'conv' has 12 elements, target [conv 1->1, kernel 3x3, padding 1x1, stride 1x1, dilation 1x1, "
          "groups 1, oihw] has 9");
  refuses([&] { group.add_param("conv", other, std::span(other_grad).first(3)); },
          "grad of 'conv' has 3 elements, its weight has 12");
  refuses([&] { group.add_param("weight", other, other_grad); }, "there is already a parameter 'weight'");
  refuses([&] { second_group.add_param("weight", other, other_grad); }, "there is already a parameter 'weight'");
  refuses([&] { second_group.add_param("again", weight, other_grad); },
          "weights of 'again' and 'weight' overlap in memory");
  refuses([&] { second_group.add_param("tail", all.subspan(11), std::span(other_grad).first(1)); },
          "weights of 'tail' and 'weight' overlap in memory");
  refuses([&] { second_group.add_param("self", other, other); }, "weight and grad of 'self' overlap in memory");
  second_group.add_param("other", other, other_grad);
  CHECK(second_group.params().size() == 1);
}

TEST_CASE("Neighbours in one buffer do not overlap") {
  std::vector<float> weights(10), grads(10);
  RepSgd<float> optimizer;
  auto& group = optimizer.add_param_group();
  group.add_param("first", std::span(weights).first(5), std::span(grads).first(5));
  CHECK_NOTHROW(group.add_param("second", std::span(weights).last(5), std::span(grads).last(5)));
}

TEST_CASE("A bad option is refused, and the group keeps its options") {
  RepSgd<double> optimizer;
  auto& group = optimizer.add_param_group({.lr = 0.5, .momentum = 0.25});
  CHECK_THROWS_AS(group.set_options({.lr = 0.1, .momentum = 2}), std::invalid_argument);
  CHECK_THROWS_AS(group.set_lr(-1), std::invalid_argument);
  CHECK_THROWS_WITH_AS(optimizer.set_lr(-1), "lr must be finite and >= 0, it is -1", std::invalid_argument);
  CHECK_THROWS_AS(RepSgd<double>().set_lr(-1), std::invalid_argument);
  CHECK(group.options().lr == 0.5);
  CHECK(group.options().momentum == 0.25);
  group.set_lr(0.125);
  CHECK(group.options().lr == 0.125);
  CHECK(group.options().momentum == 0.25);
  group.set_options({.lr = 1});
  CHECK(group.options().momentum == 0);
  CHECK_THROWS_AS(optimizer.add_param_group({.lr = std::numeric_limits<double>::quiet_NaN()}), std::invalid_argument);
  CHECK(optimizer.param_groups().size() == 1);
}

TEST_CASE("A parameter contributes sum GradMult * grad^2 to the squared norm") {
  const ConvShape shape = ConvShape::linear(2, 2);
  const CslaBlock<double> block(shape, {{shape, {2.0, -3.0}}, Branch<double>::identity(2)});
  std::vector<double> weight(4);
  const std::vector<double> grad{1, 2, 3, 4};
  RepSgd<double> optimizer;
  optimizer.add_param_group().add_param("weight", weight, grad, block);
  CHECK(optimizer.param_groups()[0].params()[0].csla_grad_norm_squared() == (4 + 1) * 1 + 4 * 4 + 9 * 9 + (9 + 1) * 16);
}

#ifdef REPOPT_COUNTS_ALLOCATIONS
TEST_CASE("If there is no memory for a parameter, nothing is added, and it can be added later") {
  const ConvShape shape = square(2, 2, 3);
  const CslaBlock<float> block(shape, {{shape, 0.5f}, Branch<float>::identity(2)});
  std::vector<float> weight(36), grad(36);
  long refusals = 0;
  for (bool added = false; !added; refusals += !added) {
    RepSgd<float> optimizer;
    auto& group = optimizer.add_param_group();
    CslaBlock<float> copy = block;
    allocation_that_fails = allocation_count + refusals + 1;
    try {
      group.add_param("a name that is too long to lie within a string", weight, grad, std::move(copy));
      added = true;
    } catch (const std::bad_alloc&) {
    }
    allocation_that_fails = 0;
    if (added) continue;
    CHECK(group.params().empty());
    group.add_param("a name that is too long to lie within a string", weight, grad, block);
    CHECK(group.params()[0].branches() == block.branches());
  }
  CHECK(refusals > 5);
}
#endif
