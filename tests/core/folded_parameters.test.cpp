#include "repopt/core/folded_parameters.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/core/folded_kernel.hpp"
#include "support/block_kinds.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

const ConvShape plain3x3 = square(4, 4, 3), plain1x1 = square(4, 4, 1);

/// A convolution, an identity, a filtered branch and a sequence. The first and the last have trained scales.
std::vector<FoldedBranch<double>> four_branches() {
  using Double = FoldedBranch<double>;
  std::vector<Double> branches{Double::conv({plain3x3, {1, -2, 0, 0.5}}), Double::conv(Branch<double>::identity(4)),
                               Double::average({plain3x3, 0.25}),
                               Double::sequence(square(4, 6, 1), square(6, 4, 3), 0.5)};
  branches[0].trains_scale = branches[3].trains_scale = true;
  return branches;
}

bool holds(std::span<const double> span, double value) {
  return std::ranges::count(span, value) == std::ptrdiff_t(span.size());
}

}  // namespace

TEST_CASE("Parameters come branch by branch, weights before their scale, and are named by numbers") {
  const FoldedKernel<double> folded(plain3x3, four_branches());
  CHECK(folded.target() == plain3x3);
  struct Expected {
    std::string name;
    std::optional<ConvShape> shape;
    std::size_t size;
    bool is_trained;
  };
  const std::vector<Expected> expected{
      {"0.weight", plain3x3, 144, true},
      {"0.scale", std::nullopt, 4, true},
      {"1.weight", ConvShape::depthwise_1x1(4), 4, true},
      {"1.scale", std::nullopt, 4, false},
      {"2.weight", plain1x1, 16, true},
      {"2.scale", std::nullopt, 4, false},
      {"3.0.weight", square(4, 6, 1), 24, true},
      {"3.1.weight", square(6, 4, 3), 216, true},
      {"3.scale", std::nullopt, 4, true},
  };
  REQUIRE(folded.parameters().size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const FoldedParameter<double>& parameter = folded.parameters()[i];
    CHECK(parameter.name == expected[i].name);
    CHECK(parameter.shape == expected[i].shape);
    CHECK(parameter.value.size() == expected[i].size);
    CHECK(parameter.is_trained() == expected[i].is_trained);
    CHECK(parameter.grad.size() == (expected[i].is_trained ? expected[i].size : 0));
    CHECK(parameter.decays == expected[i].shape.has_value());
  }
}

TEST_CASE("visit_parameters visits all trained parameters, and says that weights decay and scales do not") {
  FoldedKernel<double> folded(plain3x3, four_branches());
  std::string visited;
  folded.visit_parameters([&](const std::string& name, std::span<double> value, std::span<double> grad, bool decays) {
    CHECK(value.size() == grad.size());
    visited += name + (decays ? " decays, " : ", ");
  });
  CHECK(visited ==
        "0.weight decays, 0.scale, 1.weight decays, 2.weight decays, 3.0.weight decays, 3.1.weight decays, 3.scale, ");
}

TEST_CASE("Weights start at 0, an identity's weights at 1, and scales at their given values") {
  const FoldedKernel<double> folded(plain3x3, four_branches());
  for (const FoldedParameter<double>& parameter : folded.parameters())
    if (parameter.shape) CHECK(holds(parameter.value, parameter.name == "1.weight" ? 1 : 0));
  CHECK(std::ranges::equal(folded.parameters()[1].value, std::vector<double>{1, -2, 0, 0.5}));
  CHECK(holds(folded.parameters()[3].value, 1));
  CHECK(holds(folded.parameters()[8].value, 0.5));
}

TEST_CASE("A depthwise 1x1 branch with s = 1 is an identity only if Branch::identity() made it") {
  const FoldedKernel<double> folded(plain3x3, {FoldedBranch<double>::conv({ConvShape::depthwise_1x1(4), 1.0})});
  CHECK(holds(folded.parameters()[0].value, 0));
}

TEST_CASE("Names and initial weights may be given") {
  auto branches = four_branches();
  branches[0].weight_names = {"conv.weight"};
  branches[0].scale_name = "scale_conv.weight";
  branches[1].initial_weights = {{1, 2, 3, 4}};
  branches[3].weight_names = {"reduce.weight", "conv_after.weight"};
  branches[3].initial_weights = {std::vector<double>(24, 0.25), std::vector<double>(216, 0.75)};
  const FoldedKernel<double> folded(plain3x3, branches);
  const auto& parameters = folded.parameters();
  CHECK(parameters[0].name == "conv.weight");
  CHECK(parameters[1].name == "scale_conv.weight");
  CHECK(std::ranges::equal(parameters[2].value, std::vector<double>{1, 2, 3, 4}));
  CHECK(parameters[6].name == "reduce.weight");
  CHECK(parameters[7].name == "conv_after.weight");
  CHECK(parameters[8].name == "3.scale");
  CHECK(holds(parameters[6].value, 0.25));
  CHECK(holds(parameters[7].value, 0.75));
}

TEST_CASE("Two parameters cannot have one name") {
  auto branches = four_branches();
  branches[2].scale_name = "0.weight";
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(plain3x3, branches), "there are two parameters '0.weight'",
                       std::invalid_argument);
}

TEST_CASE("train_scales trains all scales of a block except the identities'") {
  const CslaBlock<double> block(plain3x3, {{plain3x3, 0.5}, {plain1x1, -1.0}, Branch<double>::identity(4)});
  const auto trained = [](const FoldedKernel<double>& folded) {
    std::string names;
    for (const auto& parameter : folded.parameters()) names += parameter.is_trained() ? parameter.name + " " : "";
    return names;
  };
  CHECK(trained(FoldedKernel<double>(block)) == "0.weight 1.weight 2.weight ");
  CHECK(trained(FoldedKernel<double>(block, {.train_scales = true})) == "0.weight 0.scale 1.weight 1.scale 2.weight ");
}

TEST_CASE("block() is the CSLA block with the current scales") {
  const CslaBlock<double> block(plain3x3, {{plain3x3, 0.5}, {plain1x1, -1.0}, Branch<double>::identity(4)});
  FoldedKernel<double> folded(block, {.train_scales = true});
  CHECK(folded.block().branches() == block.branches());
  CHECK(folded.block().target() == plain3x3);
  std::ranges::copy(std::vector<double>{3, 1, 4, 1}, folded.parameters()[1].value.begin());
  const auto branches = folded.block().branches();
  CHECK(branches[0].scale == std::vector<double>{3, 1, 4, 1});
  CHECK(branches[1].scale == std::vector<double>{-1, -1, -1, -1});
  CHECK(branches[2].is_identity);
}

TEST_CASE("block() refuses branches whose weights share places, with the branch and the reason") {
  const std::string reason =
      ": its weights have no places of their own in the kernel, so it cannot be a branch of a CslaBlock";
  const auto branches = four_branches();
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(plain3x3, {branches[0], branches[2]}).block(),
                       ("branch 1 is a filtered branch" + reason).c_str(), std::invalid_argument);
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(plain3x3, {branches[3], branches[0]}).block(),
                       ("branch 0 is a sequence" + reason).c_str(), std::invalid_argument);
}

TEST_CASE("block() names the branch whose trained scale has grown too large") {
  FoldedKernel<float> folded(CslaBlock<float>(plain3x3, {{plain3x3, 0.5f}}), {.train_scales = true});
  std::ranges::fill(folded.parameters()[1].value, 1e20f);
  CHECK_THROWS_WITH_AS(folded.block(),
                       ("scale holds 1e+20, its square must be finite; branch 0 [" + describe(plain3x3) + "]").c_str(),
                       std::invalid_argument);
}

TEST_CASE("More weights than memory can hold are refused") {
  const ConvShape huge{.in_channels = std::size_t(1) << 60, .kernel_size = {1, 1}, .padding = {0, 0}};
  std::vector<FoldedBranch<double>> branches(16, FoldedBranch<double>::conv({huge, 1.0}));
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(huge, branches), "the branches have more weights than memory can hold",
                       std::invalid_argument);
}
