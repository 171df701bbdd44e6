#include "repopt/nn/models/builders.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "repopt/core/scales.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "support/own_block.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::testing;

namespace {

constexpr Mode all_modes[] = {Mode::target, Mode::csla, Mode::hyper_search, Mode::repvgg, Mode::qarepvgg, Mode::deploy};

template <class T>
std::map<std::string, std::vector<T>> values_of(Vgg<T> model) {
  std::map<std::string, std::vector<T>> values;
  model.visit_parameters([&](const std::string& name, Parameter<T>& parameter) { values[name] = parameter.value; });
  return values;
}

std::set<std::string> names_in(Mode mode) {
  std::set<std::string> names;
  for (const auto& [name, value] : values_of(tiny_model<float>(mode))) names.insert(name);
  return names;
}

/// Gives batch norms, running statistics and biases random values of both signs, as if the network had been trained.
template <class T>
void randomize_norms(Random& random, Vgg<T>& model) {
  model.visit_parameters([&](const std::string& name, Parameter<T>& parameter) {
    if (name.find("bn") != name.npos || name.find("norm") != name.npos || name.ends_with(".bias"))
      fill_random<T>(random, parameter.value, name.ends_with("running_var") ? 0.2 : -1, 1);
  });
}

}  // namespace

TEST_CASE("The network of a mode equals the network that the structure's own function builds") {
  const VggConfig config = tiny_config();
  const auto scales = mixed_sign_scales<float>(config, 2);
  CHECK(values_of(tiny_model<float>(Mode::target, 3)) == values_of(plain_vgg<float>(config, 3)));
  CHECK(values_of(tiny_model<float>(Mode::csla, 3)) == values_of(csla_vgg<float>(config, 3, scales)));
  CHECK(values_of(tiny_model<float>(Mode::hyper_search, 3)) == values_of(hyper_search_vgg<float>(config, 3, scales)));
  CHECK(values_of(tiny_model<float>(Mode::repvgg, 3)) == values_of(rep_vgg<float>(config, 3)));
  CHECK(values_of(tiny_model<float>(Mode::qarepvgg, 3)) == values_of(qa_rep_vgg<float>(config, 3)));
  CHECK(names_in(Mode::deploy).contains("stage2.1.conv.bias"));
}

TEST_CASE("Parameters carry the published names in every mode") {
  const std::set<std::string> target = names_in(Mode::target), csla = names_in(Mode::csla),
                              repvgg = names_in(Mode::repvgg);
  for (const char* name : {"stage0.conv.weight", "stage2.1.bn.running_var", "linear.bias"})
    CHECK(target.contains(name));
  for (const char* name : {"stage0.scale_conv.weight", "stage1.0.scale_1x1.weight", "stage2.1.scale_identity.weight",
                           "stage2.1.conv_1x1.weight", "stage2.1.conv.weight", "stage2.1.bn.bias"})
    CHECK(csla.contains(name));
  CHECK(names_in(Mode::hyper_search) == csla);
  CHECK(repvgg.contains("stage2.1.bn_identity.weight"));
  CHECK(!csla.contains("stage2.0.scale_identity.weight"));
}

TEST_CASE("QARepVGG's kernels start with the numbers of RepVGG's") {
  const auto repvgg = values_of(rep_vgg<float>(tiny_config(), 3));
  std::size_t kernels = 0;
  for (const auto& [name, value] : values_of(qa_rep_vgg<float>(tiny_config(), 3)))
    if (name.find(".conv_") != name.npos) {
      ++kernels;
      CHECK(value == repvgg.at(name));
    }
  CHECK(kernels == 2 * tiny_config().block_specs().size());
}

TEST_CASE("Hyper-Search trains all scales, and a CSLA network only the identities' scales") {
  for (const Mode mode : {Mode::csla, Mode::hyper_search}) {
    Vgg<float> model = tiny_model<float>(mode);
    std::set<std::string> trained;
    model.visit_parameters([&](const std::string& name, Parameter<float>& parameter) {
      if (const ScaleName scale(name); scale.kind.starts_with("scale_") && parameter.requires_grad)
        trained.emplace(scale.kind);
    });
    CHECK(trained == (mode == Mode::csla ? std::set<std::string>{"scale_identity"}
                                         : std::set<std::string>{"scale_1x1", "scale_conv", "scale_identity"}));
  }
}

TEST_CASE("Every builder passes on the convolutions' algorithm, and only the first block gets no input gradient") {
  VggConfig config = tiny_config();
  const auto scales = mixed_sign_scales<float>(config, 2);
  for (const ConvAlgorithm algorithm : {ConvAlgorithm::plain, ConvAlgorithm::fastest}) {
    config.algorithm = algorithm;
    for (const BlockSpec& spec : config.block_specs()) {
      CAPTURE(spec.name);
      const auto check = [&, wanted = spec.name != "stage0"](const Conv2d<float>& conv) {
        CHECK(conv.algorithm == algorithm);
        CHECK(conv.requires_input_grad == wanted);
      };
      check(plain_block<float>(spec)->conv);
      check(deployed_block<float>(spec)->conv);
      const auto rep_vgg_block = nn::rep_vgg_block<float>(spec);
      check(rep_vgg_block->conv_3x3);
      check(rep_vgg_block->conv_1x1);
      const auto qa_rep_vgg_block = nn::qa_rep_vgg_block<float>(spec);
      check(qa_rep_vgg_block->conv_3x3);
      check(qa_rep_vgg_block->conv_1x1);
      for (const auto& csla : {csla_block(spec, scales), hyper_search_block(spec, scales)})
        for (const auto& branch : csla->conv.branches())
          if (branch.conv) check(*branch.conv);
    }
  }
}

TEST_CASE("Without input gradient the first block of every mode returns an empty gradient") {
  Random random(5);
  const Tensor<float> x = random_tensor<float>(random, {2, 8, 8, 3});
  for (const Mode mode : all_modes) {
    CAPTURE(to_string(mode));
    Vgg<float> model = tiny_model<float>(mode);
    Block<float>& first = *model.blocks().front();
    Tensor<float> grad;
    GradScratch<float> scratch;
    grad = first.forward(x, Phase::train).evaluate(grad);
    first.backward(grad, scratch);
    CHECK(grad.size() == 0);
  }
}

TEST_CASE("The same seed makes the same network in csla and hyper_search") {
  Random random(3);
  const Tensor<double> x = random_tensor<double>(random, {2, 8, 8, 3});
  const auto logits = [&](Mode mode, std::uint64_t seed) {
    Vgg<double> model = tiny_model<double>(mode, seed);
    const auto values = model.forward(x, Phase::train).values();
    return std::vector<double>(values.begin(), values.end());
  };
  CHECK(logits(Mode::csla, 1) == logits(Mode::csla, 1));
  CHECK(logits(Mode::csla, 1) == logits(Mode::hyper_search, 1));
  CHECK(logits(Mode::csla, 1) != logits(Mode::csla, 2));
}

TEST_CASE_TEMPLATE("A network of any mode is deployed as plain convolutions with the same outputs", T, float, double) {
  const double tolerance = std::is_same_v<T, float> ? 1e-5 : 1e-12;
  Random random(4);
  const Tensor<T> x = random_tensor<T>(random, {3, 8, 8, 3});
  for (const Mode mode : all_modes) {
    CAPTURE(to_string(mode));
    Vgg<T> model = tiny_model<T>(mode);
    randomize_norms(random, model);
    Vgg<T> plain = deployed(model);
    CHECK(relative_error(plain.forward(x, Phase::eval).values(), model.forward(x, Phase::eval).values()) < tolerance);
    std::string wrong;
    plain.visit_parameters([&](const std::string& name, Parameter<T>&) {
      if (!name.ends_with("conv.weight") && !name.ends_with("conv.bias") && !name.starts_with("linear."))
        wrong += name + " ";
    });
    CHECK(wrong == "");
  }
}

TEST_CASE("A network of a user's own blocks is deployed with the same outputs") {
  const auto make_block = [](const BlockSpec& spec) { return std::make_unique<OwnBlock<double>>(spec); };
  Vgg<double> model = build_vgg<double>(tiny_config(), make_block, 1);
  Random random(6);
  randomize_norms(random, model);
  const Tensor<double> x = random_tensor<double>(random, {3, 8, 8, 3});
  Vgg<double> plain = deployed(model);
  CHECK(relative_error(plain.forward(x, Phase::eval).values(), model.forward(x, Phase::eval).values()) < 1e-12);
}

TEST_CASE("A network whose batch norm has a scale that is not finite is refused by deployed()") {
  Vgg<float> model = plain_vgg<float>(tiny_config(), 1);
  model.visit_parameters([](const std::string& name, Parameter<float>& parameter) {
    if (name == "stage2.1.bn.weight") parameter.value[3] = std::numeric_limits<float>::quiet_NaN();
  });
  CHECK_THROWS_AS(deployed(model), std::invalid_argument);
}

TEST_CASE("Scales that are missing, too long or superfluous are refused") {
  const VggConfig config = tiny_config();
  const auto build = [&](Mode mode, const Scales<float>& scales) { build_vgg<float>(config, mode, 1, scales); };
  Scales<float> scales = mixed_sign_scales<float>(config, 1);
  CHECK_THROWS_WITH_AS(build(Mode::target, scales), "mode target takes no scales", std::invalid_argument);
  CHECK_THROWS_WITH_AS(build(Mode::repvgg, scales), "mode repvgg takes no scales", std::invalid_argument);
  CHECK_THROWS_WITH_AS(build(Mode::qarepvgg, scales), "mode qarepvgg takes no scales", std::invalid_argument);
  CHECK_THROWS_WITH_AS(build(Mode::deploy, scales), "mode deploy takes no scales", std::invalid_argument);
  CHECK_THROWS_WITH_AS(build(Mode::csla, {}), "the scales lack 'stage0.scale_conv.weight'", std::invalid_argument);
  scales.at("stage2.1.scale_identity.weight").push_back(1);
  CHECK_THROWS_WITH_AS(build(Mode::csla, scales), "'stage2.1.scale_identity.weight' has 6 elements, out_channels is 5",
                       std::invalid_argument);
  scales.erase("stage2.1.scale_identity.weight");
  CHECK_THROWS_WITH_AS(build(Mode::hyper_search, scales), "the scales lack 'stage2.1.scale_identity.weight'",
                       std::invalid_argument);
}
