#include "repopt/core/folded_branch.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/core/folded_kernel.hpp"
#include "support/block_kinds.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

using Folded = FoldedBranch<double>;

constexpr double infinite = std::numeric_limits<double>::infinity();
const ConvShape target3x3 = square(4, 4, 3), bare1x1 = square(4, 4, 1);
const std::vector<double> halves(36, 0.5);

/// Checks that the branch, as the second one in a kernel of `of_target`, is refused with this message.
void refuses(const Folded& branch, const std::string& message, const ConvShape& of_target = target3x3) {
  const Folded fine = Folded::conv({of_target, 1.0});
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(of_target, {fine, branch}), message.c_str(), std::invalid_argument);
}

void refuses_to_make(const std::function<void()>& make, const std::string& message) {
  CHECK_THROWS_WITH_AS(make(), message.c_str(), std::invalid_argument);
}

ConvShape with_groups(ConvShape shape, std::size_t groups) {
  shape.groups = groups;
  return shape;
}

}  // namespace

TEST_CASE("A folded kernel needs a branch and a possible target") {
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(target3x3, {}),
                       ("folding needs a branch; target: " + describe(target3x3)).c_str(), std::invalid_argument);
  const ConvShape impossible = with_groups(target3x3, 3);
  CHECK_THROWS_WITH_AS(FoldedKernel<double>(impossible, {Folded::conv({target3x3, 1.0})}),
                       ("groups must divide in_channels and out_channels: " + describe(impossible)).c_str(),
                       std::invalid_argument);
}

TEST_CASE("A branch that no CSLA block takes is refused, with the branch's number") {
  const ConvShape strided3x3 = strided(target3x3, {2, 2});
  const std::string embeds_not = "] does not embed in target [" + describe(target3x3) + "]: ";
  refuses(Folded::conv({strided3x3, 1.0}), "branch 1 [" + describe(strided3x3) + embeds_not + "their strides differ");
  refuses(Folded::filtered({strided3x3, 1.0}, halves),
          "branch 1 [" + describe(strided3x3) + embeds_not + "their strides differ");
  refuses(Folded::average({square(4, 4, 5), 1.0}),
          "branch 1 [" + describe(square(4, 4, 5)) + embeds_not + "the branch's kernel is larger than the target's");
  const std::string of_branch = "; branch 1 [" + describe(target3x3) + "]";
  refuses(Folded::conv({target3x3, {1, 2, 3}}), "scale has 3 elements, out_channels is 4" + of_branch);
  refuses(Folded::conv({target3x3, std::numeric_limits<double>::quiet_NaN()}),
          "scale holds nan, it must be finite" + of_branch);
  refuses(Folded::filtered({target3x3, -infinite}, halves), "scale holds -inf, it must be finite" + of_branch);
}

TEST_CASE("An impossible shape is refused when a branch is made, before anything is computed from the shape") {
  ConvShape no_channels = target3x3, no_groups = target3x3, no_taps = target3x3;
  no_channels.out_channels = 0;
  no_groups.groups = 0;
  no_taps.kernel_size = {0, 3};
  for (const ConvShape& shape : {no_channels, no_groups, no_taps, with_groups(target3x3, 3)}) {
    INFO(describe(shape));
    CHECK_THROWS_AS(Folded::average({shape, 1.0}), std::invalid_argument);
    CHECK_THROWS_AS(Folded::filtered({shape, 1.0}, halves), std::invalid_argument);
    CHECK_THROWS_AS(Folded::sequence(shape, bare1x1, 1.0), std::invalid_argument);
    CHECK_THROWS_AS(Folded::sequence(bare1x1, shape, 1.0), std::invalid_argument);
    CHECK_THROWS_AS(FoldedKernel<double>(target3x3, {Folded::conv({shape, 1.0})}), std::invalid_argument);
  }
  for (const std::size_t groups : {std::size_t(0), std::size_t(3)})
    refuses_to_make([&] { Folded::sequence(bare1x1, target3x3, 1.0, groups); },
                    "groups must divide in_channels and out_channels: " + describe([&] {
                      ConvShape both = with_groups(target3x3, groups);
                      both.layout = WeightLayout::hwio;
                      return both;
                    }()));
}

TEST_CASE("A filter has a finite element for each output channel and tap") {
  const std::string rest = " elements, out_channels * kernel_size is 36; branch";
  refuses_to_make(
      [] {
        Folded::filtered({target3x3, 1.0}, {1, 2, 3});
      },
      "the filter has 3" + rest + " [" + describe(target3x3) + "]");
  refuses_to_make(
      [] {
        Folded::filtered({target3x3, 1.0}, {});
      },
      "the filter has 0" + rest + " [" + describe(target3x3) + "]");
  Folded changed = Folded::filtered({target3x3, 1.0}, halves);
  changed.filter.pop_back();
  refuses(changed, "the filter has 35" + rest + " 1 [" + describe(target3x3) + "]");
  changed.filter.push_back(infinite);
  refuses(changed, "the filter of branch 1 holds inf, it must be finite");
}

TEST_CASE("Operators that do not make the branch's convolution are refused") {
  Folded filtered = Folded::filtered({target3x3, 1.0}, halves);
  filtered.filter.clear();
  refuses(filtered, "the weight of branch 1 is [" + describe(bare1x1) + "], it must be [" + describe(target3x3) + "]");
  Folded conv = Folded::conv({target3x3, 1.0});
  conv.operators[0].layout = WeightLayout::hwio;
  refuses(conv,
          "the weight of branch 1 is [" + describe(conv.operators[0]) + "], it must be [" + describe(target3x3) + "]");
  conv.operators.clear();
  refuses(conv, "branch 1 has 0 operators: one makes a convolution or a filtered branch, two make a sequence");
  conv.operators.resize(3, target3x3);
  refuses(conv, "branch 1 has 3 operators: one makes a convolution or a filtered branch, two make a sequence");
  Folded sequence = Folded::sequence(bare1x1, target3x3, 1.0);
  sequence.filter = halves;
  refuses(sequence, "branch 1 is a sequence and has a filter: a sequence has none");
  sequence.filter.clear();
  const ConvShape before = sequence.convolution.shape;
  sequence.convolution.shape.layout = WeightLayout::oihw;
  refuses(sequence,
          "branch 1 is said to be [" + describe(target3x3) + "], its two convolutions make [" + describe(before) + "]");
}

TEST_CASE("The weights of a filtered branch may be in any layout") {
  Folded filtered = Folded::filtered({target3x3, 1.0}, halves);
  filtered.operators[0].layout = WeightLayout::ohwi;
  CHECK_NOTHROW(FoldedKernel<double>(target3x3, {filtered}));
}

TEST_CASE("A sequence is two convolutions that fit together, and one of them is a bare 1x1") {
  refuses(Folded::sequence(square(4, 5, 1), square(6, 4, 3), 1.0),
          "branch 1: the first convolution has 5 output channels, the second has 6 input channels");
  const auto refuses_pair = [](const ConvShape& first, const ConvShape& second) {
    refuses(Folded::sequence(first, second, 1.0),
            "branch 1: [" + describe(first) + "] or [" + describe(second) +
                "] must be 1x1 with stride 1 and without padding: two larger kernels do not make one, since the second "
                "reads zeros of its own padding");
  };
  refuses_pair(target3x3, target3x3);
  refuses_pair(target3x3, strided(bare1x1, {2, 2}));
  refuses_pair(strided(bare1x1, {2, 2}), target3x3);
  ConvShape padded = bare1x1;
  padded.padding = {1, 1};
  refuses_pair(padded, target3x3);
  refuses_pair(target3x3, padded);
}

TEST_CASE("The padding of a 1x1 before a bare 1x1 is part of the sequence") {
  ConvShape padded = bare1x1;
  padded.padding = {1, 1};
  CHECK(Folded::sequence(padded, bare1x1, 1.0).convolution.shape.padding == padded.padding);
  CHECK(Folded::sequence(bare1x1, padded, 1.0).convolution.shape.padding == padded.padding);
  CHECK_NOTHROW(FoldedKernel<double>(padded, {Folded::sequence(padded, bare1x1, 1.0)}));
  CHECK_THROWS_AS(FoldedKernel<double>(target3x3, {Folded::sequence(padded, bare1x1, 1.0)}), std::invalid_argument);
}

TEST_CASE("A sequence takes its stride, padding and dilation from the KxK") {
  const ConvShape large = strided(with_kernel(square(4, 4, 3, 2), {1, 3}), {2, 1});
  for (const Folded& sequence : {Folded::sequence(large, bare1x1, 1.0), Folded::sequence(bare1x1, large, 1.0)}) {
    ConvShape expected = large;
    expected.layout = WeightLayout::hwio;
    CHECK(sequence.convolution.shape == expected);
  }
}

TEST_CASE("The target's groups divide those of both convolutions of a sequence") {
  const ConvShape grouped = with_groups(target3x3, 2);
  CHECK_NOTHROW(
      FoldedKernel<double>(grouped, {Folded::sequence(with_groups(bare1x1, 4), with_groups(target3x3, 2), 1.0, 2)}));
  refuses(Folded::sequence(bare1x1, with_groups(target3x3, 2), 1.0, 2),
          "branch 1: the target's 2 groups do not divide those of [" + describe(bare1x1) + "]", grouped);
  ConvShape in_one_group = target3x3, in_two = with_groups(target3x3, 2);
  in_one_group.layout = in_two.layout = WeightLayout::hwio;
  refuses(
      Folded::sequence(with_groups(bare1x1, 2), with_groups(target3x3, 2), 1.0),
      "branch 1 is said to be [" + describe(in_one_group) + "], its two convolutions make [" + describe(in_two) + "]",
      grouped);
}

TEST_CASE("There is one name and one initial weight of the right size for each weight") {
  Folded branch = Folded::sequence(bare1x1, target3x3, 1.0);
  branch.weight_names = {"one"};
  refuses(branch, "branch 1 has 2 weights, 1 names were given");
  branch.weight_names.clear();
  branch.initial_weights = {std::vector<double>(16)};
  refuses(branch, "branch 1 has 2 weights, 1 initial ones were given");
  branch.initial_weights.emplace_back(143);
  refuses(branch, "initial weight 1 of branch 1 has 143 elements, [" + describe(target3x3) + "] has 144");
}
