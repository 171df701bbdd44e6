// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/libtorch/rep_vgg_blocks.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::rep_vgg_blocks;
using libtorch::RepVggBlocks;
using torch::Tensor;

namespace {

struct Container : torch_nn::Module {};

/// The module of that path below `top`, such as "stage1.0". Makes what is missing.
std::shared_ptr<torch_nn::Module> module_at(std::shared_ptr<torch_nn::Module> top, const std::string& path) {
  for (std::size_t begin = 0, end = 0; end != path.npos; begin = end + 1) {
    end = path.find('.', begin);
    const std::string name = path.substr(begin, end - begin);
    const auto children = top->named_children();
    const auto* child = children.find(name);
    top = child ? *child : top->register_module(name, std::make_shared<Container>());
  }
  return top;
}

torch_nn::Conv2dOptions conv3x3(std::int64_t in, std::int64_t out) {
  return torch_nn::Conv2dOptions(in, out, 3).padding(1).bias(false);
}

}  // namespace

TEST_CASE("A VGG gets the branches, scales and scale names of RepOpt-VGG, from nested modules and a flat Sequential") {
  nn::VggConfig config = nn::vgg_preset("cifar-deep");
  config.strides = nn::vgg_preset("B1").strides;
  const auto nested = std::make_shared<Container>();
  torch_nn::Sequential flat;
  for (const nn::BlockSpec& spec : config.block_specs()) {
    module_at(nested, spec.name)->register_module("conv", make_conv(spec.shape));
    flat->push_back(make_conv(spec.shape));
    flat->push_back(torch_nn::ReLU());
  }
  const RepVggBlocks found = rep_vgg_blocks(*nested), found_flat = rep_vgg_blocks(*flat);
  CHECK(found.left_out.empty());
  CHECK(found.blocks.size() == config.block_specs().size());
  for (const nn::BlockSpec& spec : config.block_specs()) {
    CAPTURE(spec.name);
    const CslaBlock<double>& block = found.blocks.at(spec.name + ".conv.weight");
    const auto expected = nn::prior_branches(spec);
    REQUIRE(block.branches().size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ConvShape shape = expected[i].shape;
      shape.layout = WeightLayout::oihw;
      const double scale = expected[i].is_identity() ? 1 : initial_scale(spec.index_in_stage);
      CHECK((block.branches()[i].shape == shape));
      CHECK(block.branches()[i].is_identity == expected[i].is_identity());
      CHECK(block.branches()[i].scale == std::vector<double>(shape.out_channels, scale));
      CHECK(found.scale_names.at(spec.name + ".conv.weight")[i] == nn::scale_name(spec, expected[i].scale_name));
    }
    const std::string kernel = std::to_string(2 * spec.index) + ".weight";
    CHECK((found_flat.blocks.at(kernel).branches() == block.branches()));
    CHECK(found_flat.scale_names.at(kernel)[0] == std::to_string(2 * spec.index) + ".scale_conv.weight");
  }
}

TEST_CASE("The block of any convolution computes what its real branches compute") {
  using Options = torch_nn::Conv2dOptions;
  const std::vector<Options> all{
      Options(6, 6, 5).padding(torch::kSame),
      Options(6, 6, {3, 5}).padding(torch::kSame).dilation({2, 1}).groups(3).padding_mode(torch::kCircular),
      Options(6, 6, 3).padding(1).padding_mode(torch::kReflect),
      Options(6, 12, {1, 3}).padding({0, 3}).stride({1, 2}).dilation({1, 2}),
      Options(6, 6, 3).padding(1).groups(6).stride(2),
  };
  const std::vector<std::size_t> branch_counts{3, 3, 3, 2, 2};
  torch::manual_seed(3);
  for (std::size_t k = 0; k < all.size(); ++k) {
    CAPTURE(k);
    Options options(all[k]);
    torch_nn::Conv2d conv(options.bias(false));
    conv->to(torch::kDouble);
    const RepVggBlocks found = rep_vgg_blocks(*conv, {.scale = [](std::size_t) { return 0.7; }});
    const CslaBlock<double>& block = found.blocks.at("weight");
    REQUIRE(block.branches().size() == branch_counts[k]);
    const auto weights = libtorch::draw_branch_weights(*conv, found.blocks);
    const Tensor x = torch::randn({2, 6, 9, 8}, torch::kDouble);
    const torch::NoGradGuard no_grad;
    conv->weight.copy_(weights.at("weight")[0]);
    Tensor expected = 0.7 * conv(x);
    for (std::size_t i = 1; i < block.branches().size(); ++i) {
      torch_nn::Conv2d branch = make_conv(block.branches()[i].shape);
      branch->to(torch::kDouble);
      branch->weight.copy_(weights.at("weight")[i]);
      expected += (i == 1 ? 0.7 : 1.0) * branch(x);
    }
    libtorch::initialize(*conv, found.blocks, weights);
    CHECK(relative_error(numbers(conv(x)), numbers(expected)) < 1e-14);
  }
}

TEST_CASE("Layers that cannot have the block are left out with a reason, and 1x1 layers are not counted in a stage") {
  torch_nn::Sequential model(
      torch_nn::Conv2d(conv3x3(8, 8)), torch_nn::Conv2d(torch_nn::Conv2dOptions(8, 8, 1)),
      torch_nn::Conv2d(conv3x3(8, 8)), torch_nn::Conv2d(torch_nn::Conv2dOptions(8, 8, 2).padding(torch::kSame)),
      torch_nn::Conv2d(torch_nn::Conv2dOptions(8, 8, 2)), torch_nn::Conv2d(torch_nn::Conv2dOptions(8, 8, 3)),
      torch_nn::ConvTranspose2d(torch_nn::ConvTranspose2dOptions(8, 8, 3)),
      torch_nn::Conv1d(torch_nn::Conv1dOptions(8, 8, 3)), torch_nn::Linear(8, 8), torch_nn::Conv2d(conv3x3(8, 8)));
  const RepVggBlocks found = rep_vgg_blocks(*model, {.filter = [](const std::string& layer) { return layer != "9"; }});
  std::string text;
  for (const auto& [layer, reason] : found.left_out) text += layer + ": " + reason + "\n";
  const std::string does_not_embed =
      "a 1x1 branch does not embed in it: 2 * padding - dilation * (kernel_size - 1) differs, so their outputs differ "
      "in size\n";
  CHECK(text ==
        "1: a 1x1 convolution has no place for other branches\n3: torch::kSame pads its two sides "
        "differently\n4: " +
            does_not_embed + "5: " + does_not_embed +
            "6: it is a transposed convolution\n7: only convolutions in two dimensions get blocks\n9: the "
            "filter refuses it\n");
  REQUIRE(found.blocks.size() == 2);
  CHECK(found.blocks.at("0.weight").branches()[0].scale[0] == 1);
  CHECK(found.blocks.at("2.weight").branches()[0].scale[0] == std::sqrt(2.0));
}

TEST_CASE("Without 1x1 branches, a convolution in which none would fit gets a block of its scaled kernel alone") {
  torch_nn::Sequential model(torch_nn::Conv2d(torch_nn::Conv2dOptions(8, 8, 2)),
                             torch_nn::Conv2d(torch_nn::Conv2dOptions(8, 8, 3)));
  const RepVggBlocks found = rep_vgg_blocks(*model, {.scale = [](std::size_t) { return 0.5; }, .has_1x1 = false});
  CHECK(found.left_out.empty());
  for (const char* layer : {"0", "1"}) {
    const std::string kernel = std::string(layer) + ".weight";
    const auto& branches = found.blocks.at(kernel).branches();
    REQUIRE(branches.size() == 1);
    CHECK(branches[0].scale == std::vector<double>(8, 0.5));
    CHECK(found.scale_names.at(kernel) == std::vector<std::string>{std::string(layer) + ".scale_conv.weight"});
  }
  const RepVggBlocks with_1x1 = rep_vgg_blocks(*model);
  CHECK(with_1x1.blocks.empty());
  CHECK(with_1x1.left_out.size() == 2);
}

TEST_CASE("Options choose branches and layers, and a Linear gets s and, if it is square, an identity") {
  torch_nn::Sequential model(torch_nn::Conv2d(conv3x3(8, 8)), torch_nn::Linear(8, 8), torch_nn::Linear(8, 4));
  const auto branches = [&](const libtorch::RepVggOptions& options, const char* kernel) {
    return rep_vgg_blocks(*model, options).blocks.at(kernel).branches().size();
  };
  CHECK(branches({}, "0.weight") == 3);
  CHECK(branches({.has_1x1 = false}, "0.weight") == 2);
  CHECK(branches({.has_identity = false}, "0.weight") == 2);
  CHECK(branches({.linear = true}, "1.weight") == 2);
  CHECK(branches({.linear = true}, "2.weight") == 1);
  CHECK(rep_vgg_blocks(*model, {.linear = true}).scale_names.at("1.weight")[0] == "1.scale_linear.weight");
  libtorch::RepSgd optimizer(*model, rep_vgg_blocks(*model), torch::optim::SGDOptions(0.1));
  CHECK(optimizer.csla_blocks().size() == 1);
}

TEST_CASE("Scales by name are taken over, the identity's as its initial weight, and others are refused by name") {
  const auto model = std::make_shared<Container>();
  module_at(model, "stage1.0")->register_module("conv", torch_nn::Conv2d(conv3x3(2, 2)));
  const Scales<double> scales{{"stage1.0.scale_conv.weight", {2, 3}},
                              {"stage1.0.scale_1x1.weight", {-1, 0.5}},
                              {"stage1.0.scale_identity.weight", {4, 5}}};
  const RepVggBlocks found = rep_vgg_blocks(*model, {.scales = scales});
  const auto& branches = found.blocks.at("stage1.0.conv.weight").branches();
  CHECK(branches[0].scale == std::vector<double>{2, 3});
  CHECK(branches[1].scale == std::vector<double>{-1, 0.5});
  CHECK(branches[2].scale == std::vector<double>{1, 1});
  torch::manual_seed(1);
  auto weights = libtorch::draw_branch_weights(*model, found);
  CHECK(weights.at("stage1.0.conv.weight")[2].view(-1).equal(torch::tensor({4.f, 5.f})));
  torch::manual_seed(1);
  libtorch::initialize(*model, found);
  const Tensor kernel = model->named_parameters()["stage1.0.conv.weight"].clone();
  libtorch::initialize(*model, found.blocks, weights);
  CHECK(kernel.equal(model->named_parameters()["stage1.0.conv.weight"]));

  const auto refused = [&](const char* message, auto change) {
    Scales<double> changed = scales;
    change(changed);
    CHECK_THROWS_WITH_AS(rep_vgg_blocks(*model, {.scales = changed}), message, std::invalid_argument);
  };
  refused("the scales lack 'stage1.0.scale_1x1.weight'", [](auto& all) { all.erase("stage1.0.scale_1x1.weight"); });
  refused("there is a scale 'stage1.1.scale_1x1.weight', but no such branch", [](auto& all) {
    all["stage1.1.scale_1x1.weight"] = {1, 2};
  });
  refused("'stage1.0.scale_identity.weight' has 1 elements, out_channels is 2",
          [](auto& all) { all["stage1.0.scale_identity.weight"] = {1}; });
}
