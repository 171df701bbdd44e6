#include "repopt/nn/models/custom_l2.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "support/numeric_gradient.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// Returns a tiny network whose batch norms have weights of both signs, and whose gradients are 0.5.
Vgg<double> trained_rep_vgg(Random& random) {
  Vgg<double> model = rep_vgg<double>(tiny_config(), 1);
  model.visit_parameters([&](const std::string& name, Parameter<double>& p) {
    if (name.find(".bn_") != name.npos)
      fill_random<double>(random, p.value, name.ends_with("running_var") ? 0.2 : -1, 1);
    p.grad.assign(p.grad.size(), 0.5);
  });
  return model;
}

Parameter<double>& parameter(Vgg<double>& model, const std::string& wanted) {
  Parameter<double>* found = nullptr;
  model.visit_parameters([&](const std::string& name, Parameter<double>& p) {
    if (name == wanted) found = &p;
  });
  REQUIRE(found != nullptr);
  return *found;
}

}  // namespace

TEST_CASE("The custom L2 is that of the deployed kernel's centre and of the 3x3 kernel around it") {
  Random random(1);
  Vgg<double> model = trained_rep_vgg(random);
  double sum = 0;
  const std::vector<BlockSpec> specs = model.config().block_specs();
  for (const BlockSpec& spec : specs) {
    if (spec.has_identity())  // the deployed kernel is then that of the two convolutions alone
      parameter(model, spec.name + ".bn_identity.weight").value.assign(spec.shape.out_channels, 0);
    const auto t = [&](const std::string& branch, std::size_t channel) {
      return parameter(model, spec.name + ".bn_" + branch + ".weight").value[channel] /
             std::sqrt(parameter(model, spec.name + ".bn_" + branch + ".running_var").value[channel] + 1e-5);
    };
    const std::vector<double> merged = model.blocks()[spec.index]->fused().weight;
    const std::vector<double>& kernel = parameter(model, spec.name + ".conv_3x3.weight").value;
    for_each_weight(spec.shape, [&](const WeightIndex& weight) {
      const std::size_t place = spec.shape.offset(weight);
      const double t3 = t("3x3", weight.out), t1 = t("1x1", weight.out);
      const bool centre = weight.row == 1 && weight.column == 1;
      sum += centre ? merged[place] * merged[place] / (t3 * t3 + t1 * t1) : kernel[place] * kernel[place];
    });
  }
  CHECK(CustomL2<double>(model, 0.02).value() == doctest::Approx(0.01 * sum).epsilon(1e-12));
}

TEST_CASE("The custom L2 adds its gradient, with constant batch norms, to the kernels of the branches alone") {
  Random random(2);
  Vgg<double> model = trained_rep_vgg(random);
  CustomL2<double> custom_l2(model, 0.3);
  custom_l2.add_gradients();
  std::size_t kernels = 0;
  model.visit_parameters([&](const std::string& name, Parameter<double>& p) {
    if (!p.requires_grad) return;
    CAPTURE(name);
    std::vector<double> expected(p.grad.size(), 0.5);
    if (p.conv) {
      ++kernels;
      expected = numeric_gradient(p.value, [&] { return custom_l2.value(); });
      for (double& gradient : expected) gradient += 0.5;
      CHECK(relative_error(p.grad, std::vector<double>(p.grad.size(), 0.5)) > 1e-4);
    }
    CHECK(relative_error(p.grad, expected) < 1e-8);
  });
  CHECK(kernels == 2 * model.config().block_specs().size());
}

TEST_CASE("A channel whose batch norms are both zero adds only the 3x3 kernel around the centre") {
  Random random(3);
  Vgg<double> model = trained_rep_vgg(random);
  for (const char* name : {"stage0.bn_3x3.weight", "stage0.bn_1x1.weight"}) parameter(model, name).value[1] = 0;
  CustomL2<double> custom_l2(model, 0.3);
  custom_l2.add_gradients();
  const Parameter<double>&k3 = parameter(model, "stage0.conv_3x3.weight"),
        &k1 = parameter(model, "stage0.conv_1x1.weight");
  CHECK(std::isfinite(custom_l2.value()));
  CHECK(k1.grad[k1.conv->offset({.out = 1})] == 0.5);
  CHECK(k3.grad[k3.conv->offset({.out = 1, .row = 1, .column = 1})] == 0.5);
  CHECK(k3.grad[k3.conv->offset({.out = 1})] == doctest::Approx(0.5 + 0.3 * k3.value[k3.conv->offset({.out = 1})]));
}

TEST_CASE("With the custom L2 no branch's kernel decays, and the linear layer does") {
  Vgg<double> model = rep_vgg<double>(tiny_config(), 1);
  const CustomL2<double> custom_l2(model, 0.3);
  RepSgd<double> optimizer;
  add_parameters(optimizer, model, {.lr = 0.1, .weight_decay = 0.3});
  REQUIRE(optimizer.param_groups()[0].params().size() == 1);
  CHECK(optimizer.param_groups()[0].params()[0].name == "linear.weight");
  CHECK(optimizer.param_groups()[1].options().weight_decay == 0);
}

TEST_CASE("A network of other blocks and an impossible weight decay are refused, and the network keeps its decay") {
  Vgg<double> target = plain_vgg<double>(tiny_config(), 1), qa = qa_rep_vgg<double>(tiny_config(), 1);
  CHECK_THROWS_WITH_AS(CustomL2<double>(target, 0.1),
                       "the custom L2 is for RepVGG's blocks: the model has no 'stage0.conv_3x3.weight'",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(CustomL2<double>(qa, 0.1),
                       "the custom L2 is for RepVGG's blocks: the model has no 'stage0.bn_1x1.weight'",
                       std::invalid_argument);
  CHECK(parameter(qa, "stage0.conv_3x3.weight").decays);
  Vgg<double> model = rep_vgg<double>(tiny_config(), 1);
  CHECK_THROWS_WITH_AS(CustomL2<double>(model, -0.1), "weight_decay must be finite and >= 0, it is -0.1",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(CustomL2<double>(model, std::numeric_limits<double>::infinity()),
                       "weight_decay must be finite and >= 0, it is inf", std::invalid_argument);
  CHECK(parameter(model, "stage0.conv_1x1.weight").decays);
}
