#include "repopt/nn/models/folded_training.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/core/scales.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

/// A plain network, its folded branches and their optimizer.
template <class Rule>
struct FoldedRun {
  VggConfig config = tiny_config();
  Vgg<double> model;
  FoldedTraining<double> folded;
  RepOptimizer<Rule, double> optimizer;

  FoldedRun(Prior prior, const Scales<double>& scales, bool train_scales, const typename Rule::Options& options)
      : model(plain_vgg<double>(config, 1)), folded(model, folded_kernels(config, prior, scales, train_scales)) {
    init_branches(folded, 1);
    add_parameters(optimizer, folded, options);
  }

  double step(const Tensor<double>& images, const std::vector<int>& labels) {
    Tensor<double> grad_logits;
    folded.fold();
    model.zero_grad();
    const double loss = cross_entropy<double>(model.forward(images, Phase::train), labels, 0.1, grad_logits);
    model.backward(grad_logits);
    folded.add_gradients();
    optimizer.step();
    return loss;
  }
};

/// The same steps on real branches, or on any network whose parameters are all ordinary.
template <class Rule>
double step(Vgg<double>& model, RepOptimizer<Rule, double>& optimizer, const Tensor<double>& images,
            const std::vector<int>& labels) {
  Tensor<double> grad_logits;
  model.zero_grad();
  const double loss = cross_entropy<double>(model.forward(images, Phase::train), labels, 0.1, grad_logits);
  model.backward(grad_logits);
  optimizer.step();
  return loss;
}

Tensor<double> random_images(Random& random) {
  Tensor<double> images({8, 8, 8, 3});
  const std::vector<double> values = random.numbers<double>(images.size());
  std::ranges::copy(values, images.values().begin());
  return images;
}

std::vector<int> random_labels(Random& random) {
  std::vector<int> labels(8);
  for (int& label : labels) label = int(random.integer(0, 4));
  return labels;
}

template <class Rule>
typename Rule::Options usual_options() {
  typename Rule::Options options{.lr = 0.005, .weight_decay = 0.01};
  if constexpr (requires { options.momentum; }) options.lr = 0.02, options.momentum = 0.9, options.nesterov = true;
  return options;
}

}  // namespace

TEST_CASE_TEMPLATE("Branches that train folded follow the network of real branches", Rule, Sgd, AdamW, Adam, Lamb) {
  for (const bool train_scales : {false, true}) {
    const VggConfig config = tiny_config();
    const Scales<double> scales = mixed_sign_scales<double>(config, 2);
    FoldedRun<Rule> run(Prior::repvgg, scales, train_scales, usual_options<Rule>());
    Vgg<double> real = train_scales ? hyper_search_vgg(config, 1, scales) : csla_vgg(config, 1, scales);
    RepOptimizer<Rule, double> optimizer;
    add_parameters(optimizer, real, usual_options<Rule>());
    Random random(1);
    for (int t = 0; t < 10; ++t) {
      const Tensor<double> images = random_images(random);
      const std::vector<int> labels = random_labels(random);
      const double expected = step(real, optimizer, images, labels);
      INFO("step ", t, ", scales trained: ", train_scales);
      CHECK(run.step(images, labels) == doctest::Approx(expected).epsilon(1e-10));
    }
    std::map<std::string, std::vector<double>> trained;
    real.visit_parameters([&](const std::string& name, Parameter<double>& p) { trained[name] = p.value; });
    run.folded.visit_parameters([&](const std::string& name, const ParameterView<double>& p) {
      REQUIRE(trained.contains(name));
      INFO(name);
      CHECK(relative_error(p.value, trained.at(name)) < 1e-8);
      trained.erase(name);
    });
    CHECK(trained.empty());
  }
}

TEST_CASE("Every prior trains, constant scales and trained ones, and its branches have names and scales of their own") {
  for (const Prior prior : priors)
    for (const bool train_scales : {false, true}) {
      const VggConfig config = tiny_config();
      const Scales<double> scales = initial_scales<double>(config, prior);
      CHECK(scales.size() == scale_lengths(config, prior).size());
      FoldedRun<Sgd> run(prior, scales, train_scales, usual_options<Sgd>());
      Random random(2);
      const Tensor<double> images = random_images(random);
      const std::vector<int> labels = random_labels(random);
      const double before = run.step(images, labels);
      double after = before;
      for (int t = 0; t < 30; ++t) after = run.step(images, labels);
      INFO(to_string(prior), ", scales trained: ", train_scales);
      CHECK(after < 0.8 * before);
      const Scales<double> found = searched_scales(run.folded, scale_lengths(config, prior));
      CHECK(found.size() == scales.size());
      const bool conv_moved = found.at("stage1.0.scale_conv.weight") != scales.at("stage1.0.scale_conv.weight");
      CHECK(conv_moved == train_scales);
    }
}

TEST_CASE("OREPA's scales start at its article's constants, Hyper-Search's at sqrt(2 / l)") {
  const VggConfig config = tiny_config();
  const auto orepa = initial_scales<float>(config, Prior::orepa);
  CHECK(orepa.at("stage2.1.scale_conv.weight").front() == 0.25f);
  CHECK(orepa.at("stage2.1.scale_average.weight").front() == 0.25f);
  CHECK(orepa.at("stage2.1.scale_frequency.weight").front() == 0);
  CHECK(orepa.at("stage2.1.scale_1x1_3x3.weight").front() == 0.5f);
  CHECK(orepa.at("stage2.1.scale_1x1.weight").front() == 1);
  CHECK(initial_scales<float>(config, Prior::repvgg) == sqrt_scales<float>(config));
  CHECK(prior_of_name("edge") == Prior::edge);
  CHECK_THROWS_WITH_AS(prior_of_name("resnet"),
                       "there is no prior 'resnet'; the priors are repvgg, average, dbb, edge, asymmetric, orepa",
                       std::invalid_argument);
}

TEST_CASE("The fixed filters are Sobel's, Laplace's and OREPA's frequencies") {
  using Filter = std::vector<double>;
  const Filter sobel_x{1, 0, -1, 2, 0, -2, 1, 0, -1}, sobel_y{1, 2, 1, 0, 0, 0, -1, -2, -1};
  CHECK(nn::detail::fixed_filter<double>("sobel_x", 1) == sobel_x);
  CHECK(nn::detail::fixed_filter<double>("sobel_y", 1) == sobel_y);
  CHECK(nn::detail::fixed_filter<double>("laplacian", 1) == Filter{0, 1, 0, 1, -4, 1, 0, 1, 0});
  // cos(pi (h + 1/2) (i + 1) / 3) in the rows of channel i < 2, the same in the columns of channels 2 and 3.
  const Filter frequency = nn::detail::fixed_filter<double>("frequency", 4);
  const double first = std::cos(std::numbers::pi / 6), second = std::cos(std::numbers::pi / 3);
  const Filter expected{first,  first,  first,  0,      0,  0,      -first, -first, -first,  //
                        second, second, second, -1,     -1, -1,     second, second, second,  //
                        first,  0,      -first, first,  0,  -first, first,  0,      -first,  //
                        second, -1,     second, second, -1, second, second, -1,     second};
  CHECK(relative_error(frequency, expected) < 1e-15);
}

TEST_CASE("A folded kernel for no kernel of the model, or for another shape, is refused") {
  const VggConfig config = tiny_config();
  Vgg<float> model = plain_vgg<float>(config, 1);
  const auto kernels = [&] {
    return folded_kernels(config, Prior::repvgg, initial_scales<float>(config, Prior::repvgg), false);
  };
  auto renamed = kernels();
  auto node = renamed.extract("stage0.conv.weight");
  node.key() = "stage9.conv.weight";
  renamed.insert(std::move(node));
  CHECK_THROWS_WITH_AS(FoldedTraining<float>(model, std::move(renamed)), "the model has no kernel 'stage9.conv.weight'",
                       std::invalid_argument);
  VggConfig wider = config;
  wider.widths[3] = 9;
  CHECK_THROWS_AS(FoldedTraining<float>(
                      model, folded_kernels(wider, Prior::repvgg, initial_scales<float>(wider, Prior::repvgg), false)),
                  std::invalid_argument);
}

TEST_CASE("A rule without a form on a block's kernel trains a plain network, and refuses its blocks") {
  const VggConfig config = tiny_config();
  Vgg<double> model = plain_vgg<double>(config, 1);
  RepOptimizer<Adam, double> optimizer;
  CHECK_THROWS_WITH_AS(add_parameters(optimizer, model, {}, prior_blocks(config, sqrt_scales<double>(config))),
                       "rule adam has no form on the kernel of a CSLA block: train the branches folded",
                       std::invalid_argument);
  CHECK(optimizer.param_groups().empty());
  CHECK_NOTHROW(add_parameters(optimizer, model, {}));
}

TEST_CASE("Parameters that the optimizer has already, by name or by memory, are refused, and it stays as it was") {
  const VggConfig config = tiny_config();
  Vgg<double> model = plain_vgg<double>(config, 1);
  FoldedTraining<double> folded(
      model, folded_kernels(config, Prior::repvgg, initial_scales<double>(config, Prior::repvgg), true));
  std::vector<double> bias(3), grad(3);
  RepSgd<double> has_name, has_memory;
  has_name.add_param_group().add_param("linear.bias", bias, grad);
  has_memory.add_param_group().add_param("head", model.linear.bias.value, model.linear.bias.grad);
  const auto refuse = [&](auto& trained) {
    CHECK_THROWS_WITH_AS(add_parameters(has_name, trained, {.lr = 0.1}),
                         "the optimizer already has a parameter 'linear.bias'", std::invalid_argument);
    CHECK_THROWS_WITH_AS(add_parameters(has_memory, trained, {.lr = 0.1}),
                         "the optimizer's parameter 'head' and 'linear.bias' overlap in memory", std::invalid_argument);
    CHECK_THROWS_AS(add_parameters(has_name, trained, {.lr = -1}), std::invalid_argument);
    CHECK(has_name.param_groups().size() == 1);
    CHECK(has_memory.param_groups().size() == 1);
  };
  refuse(folded);
  refuse(model);
}
