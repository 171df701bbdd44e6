// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/rmsprop.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "libtorch/net_blocks.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/libtorch/folded_kernels.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::CslaBlocks;
using libtorch::FoldedKernels;
using torch::Tensor;

namespace {

/// The blocks of net_blocks(), with identities in two of them.
CslaBlocks blocks_with_identities() {
  CslaBlocks blocks = net_blocks();
  for (const char* name : {"conv1.weight", "mix.weight"}) {
    auto branches = blocks.at(name).branches();
    branches.push_back(Branch<double>::identity(6));
    blocks.at(name) = CslaBlock<double>(blocks.at(name).target(), branches);
  }
  return blocks;
}

struct FoldedRun {
  bool train_scales = true;
  Strides strides = Strides::contiguous;  ///< the strides of the plain net's parameters
  bool elsewhere = false;                 ///< parameters are not the memory of the FoldedKernels, as on a GPU
  bool is_wrong = false;                  ///< set_gradients() is called before the backward pass
};

/// Trains a net of real branches by `Stock`, and the plain net folded by the same optimizer, for 50 steps in double.
/// Returns the largest relative difference between outputs and, at the end, between weights and scales.
template <class Stock, class Options>
double follow_real_branches(const Options& options, const FoldedRun& run = {}) {
  torch::manual_seed(2205);
  const CslaBlocks blocks = blocks_with_identities();
  Net real(blocks, true, run.train_scales), plain(blocks, false);
  real.to(torch::kDouble);
  plain.to(torch::kDouble);
  const auto real_params = real.named_parameters();
  for (const auto& param : plain.named_parameters()) {
    const Tensor* const same = real_params.find(param.key());
    const Tensor start = same ? same->detach().clone() : param.value().detach();
    Tensor(param.value()).set_data(with_strides(start, run.strides));
  }
  FoldedKernels folded(plain, blocks, branch_weights_of(real, blocks), {.train_scales = run.train_scales});
  if (run.elsewhere)
    for (Tensor param : folded.parameters()) param.set_data(param.detach().clone());
  Stock stock(stock_groups(real, options), options), ours(folded.param_groups(options), options);

  double largest = 0;
  for (int step = 0; step < 50; ++step) {
    const Tensor labels = torch::randint(4, {8}, torch::kLong), x = torch::randn({8, 3, 7, 6}, torch::kDouble);
    folded.fold();
    real.zero_grad();
    plain.zero_grad();
    const Tensor expected = real.forward(x), found = plain.forward(x);
    largest = std::max(largest, relative_error(numbers(found), numbers(expected)));
    torch::cross_entropy_loss(expected, labels).backward();
    if (run.is_wrong) folded.set_gradients();
    torch::cross_entropy_loss(found, labels).backward();
    if (!run.is_wrong) folded.set_gradients();
    stock.step();
    ours.step();
  }
  const auto found = folded.named_parameters();
  for (const auto& param : real_params) {
    const std::string& name = param.key();  // "conv1.2.weight", "conv1.scale2", or a name of the plain net
    const std::size_t scale = name.find(".scale");
    const std::string folded_name =
        scale == name.npos ? name : name.substr(0, scale) + "." + name.substr(scale + 6) + ".scale";
    largest = std::max(largest, relative_error(numbers(found[folded_name]), numbers(param.value())));
  }
  return largest;
}

/// y = 0.5 conv3x3(x) + 0.25 mean3x3(conv1x1(x)) + 2 conv3x3(conv1x1(x)), with trained scales.
struct DiverseBranches : torch_nn::Module {
  torch_nn::Conv2d conv = make_conv(square(4, 6, 3)), before_mean = make_conv(square(4, 6, 1)),
                   first = make_conv(square(4, 5, 1)), second = make_conv(square(5, 6, 3));
  std::vector<Tensor> scales;

  DiverseBranches() {
    for (const auto& [name, module] : {std::pair("0", &conv), {"1", &before_mean}, {"2_0", &first}, {"2_1", &second}})
      register_module(name, *module);
    for (const double s : {0.5, 0.25, 2.0})
      scales.push_back(register_parameter("scale" + std::to_string(scales.size()), torch::full({6, 1, 1}, s)));
  }

  Tensor forward(const Tensor& x) {
    const Tensor mean = torch::avg_pool2d(before_mean(x), 3, 1, 1, false, true);
    return scales[0] * conv(x) + scales[1] * mean + scales[2] * second(first(x));
  }
};

}  // namespace

TEST_CASE("Folded training follows real branches with trained scales under torch's own optimizers for 50 steps") {
  CHECK(follow_real_branches<torch::optim::SGD>(sgd) < 1e-12);
  CHECK(follow_real_branches<torch::optim::SGD>(sgd, {.strides = Strides::channels_last}) < 1e-12);
  CHECK(follow_real_branches<torch::optim::SGD>(sgd, {.train_scales = false}) < 1e-12);
  CHECK(follow_real_branches<torch::optim::AdamW>(adamw) < 1e-12);
  CHECK(follow_real_branches<torch::optim::Adam>(torch::optim::AdamOptions(2e-3).weight_decay(0.05)) < 1e-12);
  CHECK(follow_real_branches<torch::optim::RMSprop>(torch::optim::RMSpropOptions(1e-3).weight_decay(0.05)) < 1e-12);
  CHECK(follow_real_branches<torch::optim::Adagrad>(torch::optim::AdagradOptions(1e-2).weight_decay(0.05)) < 1e-12);
}

TEST_CASE("Kernels, weights and scales in other memory, as on a GPU, are copied before and after") {
  CHECK(follow_real_branches<torch::optim::SGD>(sgd, {.strides = Strides::every_second, .elsewhere = true}) < 1e-12);
}

TEST_CASE("Gradients that are a step late do not follow the real branches") {
  CHECK(follow_real_branches<torch::optim::SGD>(sgd, {.is_wrong = true}) > 1e-4);
}

TEST_CASE("Filtered branches and sequences follow real layers for 50 steps of Adam") {
  torch::manual_seed(4);
  DiverseBranches real;
  real.to(torch::kDouble);
  torch_nn::Conv2d plain = make_conv(square(4, 6, 3));
  plain->to(torch::kDouble);
  libtorch::FoldedBlock block{
      square(4, 6, 3),
      {FoldedBranch<double>::conv({square(4, 6, 3), 0.5}), FoldedBranch<double>::average({square(4, 6, 3), 0.25}),
       FoldedBranch<double>::sequence(square(4, 5, 1), square(5, 6, 3), 2.0)}};
  const std::vector<std::vector<torch_nn::Conv2d>> layers{{real.conv}, {real.before_mean}, {real.first, real.second}};
  for (std::size_t i = 0; i < 3; ++i) {
    block.branches[i].trains_scale = true;
    for (const torch_nn::Conv2d& layer : layers[i]) block.branches[i].initial_weights.push_back(numbers(layer->weight));
  }
  FoldedKernels folded(*plain, {{"weight", block}});
  const torch::optim::AdamOptions options(2e-3);
  torch::optim::Adam stock(real.parameters(), options), ours(folded.param_groups(options), options);
  double largest = 0;
  for (int step = 0; step < 50; ++step) {
    const Tensor x = torch::randn({4, 4, 6, 5}, torch::kDouble), target = torch::randn({4, 6, 6, 5}, torch::kDouble);
    folded.fold();
    real.zero_grad();
    plain->zero_grad();
    const Tensor expected = real.forward(x), found = plain->forward(x);
    largest = std::max(largest, relative_error(numbers(found), numbers(expected)));
    torch::mse_loss(expected, target).backward();
    torch::mse_loss(found, target).backward();
    folded.set_gradients();
    stock.step();
    ours.step();
  }
  CHECK(largest < 1e-12);
  const auto params = folded.named_parameters();
  CHECK(relative_error(numbers(params["2.1.weight"]), numbers(real.second->weight)) < 1e-12);
  CHECK(relative_error(numbers(params["1.scale"]), numbers(real.scales[1])) < 1e-12);
  CHECK_THROWS_AS(folded.csla_blocks(), std::invalid_argument);
}

TEST_CASE("A fold starts with the kernels of initialize(), and search and training pass scales on by file") {
  torch_nn::Sequential searched(torch_nn::Conv2d(torch_nn::Conv2dOptions(3, 6, 3).padding(1)), torch_nn::ReLU(),
                                torch_nn::Conv2d(torch_nn::Conv2dOptions(6, 6, 3).padding(1)));
  torch_nn::Sequential next(torch_nn::Conv2d(torch_nn::Conv2dOptions(3, 6, 3).padding(1)), torch_nn::ReLU(),
                            torch_nn::Conv2d(torch_nn::Conv2dOptions(6, 6, 3).padding(1)));
  const auto blocks = libtorch::rep_vgg_blocks(*searched);
  torch::manual_seed(8);
  libtorch::initialize(*next, blocks);
  torch::manual_seed(8);
  FoldedKernels folded(*searched, blocks, {.train_scales = true});
  folded.fold();
  for (const char* name : {"0.weight", "2.weight"})
    CHECK(relative_error(numbers(searched->named_parameters()[name]), numbers(next->named_parameters()[name])) < 1e-6);

  const auto options = torch::optim::SGDOptions(0.1);
  torch::optim::SGD optimizer(folded.param_groups(options), options);
  searched->forward(torch::randn({2, 3, 5, 5})).square().sum().backward();
  folded.set_gradients();
  optimizer.step();
  const Scales<double> scales = folded.scales();
  CHECK(scales.size() == 5);
  CHECK(scales.at("2.scale_1x1.weight") != std::vector<double>(6, 1));
  CHECK(scales.at("2.scale_identity.weight") != std::vector<double>(6, 1));
  const TemporaryFolder folder;
  formats::save_scales<double>(folder.path() / "scales.safetensors", scales);
  const auto loaded = formats::load_scales<double>(folder.path() / "scales.safetensors");
  const auto found = libtorch::rep_vgg_blocks(*next, {.scales = loaded});
  for (const auto& [name, block] : folded.csla_blocks())
    for (std::size_t i = 0; i < block.branches().size(); ++i)
      CHECK(found.blocks.at(name).branches()[i].scale == block.branches()[i].scale);
  CHECK(found.identity_weights.at("2.weight") == scales.at("2.scale_identity.weight"));

  FoldedKernels other(*next, blocks);
  other.load_scales(loaded);
  CHECK(other.scales() == scales);
}

TEST_CASE("Parameters outlive the fold, and a kernel without a gradient gives none") {
  torch_nn::Conv2d conv(torch_nn::Conv2dOptions(2, 2, 3).padding(1));
  std::vector<Tensor> params;
  {
    FoldedKernels folded(*conv, libtorch::rep_vgg_blocks(*conv), {.train_scales = true});
    params = folded.parameters();
    conv->forward(torch::ones({1, 2, 3, 3})).sum().backward();
    folded.set_gradients();
    CHECK(std::ranges::all_of(params, [](const Tensor& param) { return param.grad().defined(); }));
    conv->weight.mutable_grad() = Tensor();
    folded.set_gradients();
  }
  for (const Tensor& param : params) CHECK(param.grad().defined() == param.is_same(conv->bias));
  CHECK(params.size() == 6);  // three weights, two scales, and the layer's bias
  CHECK(numbers(params[4]) == std::vector<double>{1, 1});
}

TEST_CASE("Kernels, weights and scales that do not fit are refused by name, before anything changes") {
  torch_nn::Conv2d conv(torch_nn::Conv2dOptions(2, 2, 3).padding(1));
  const auto found = libtorch::rep_vgg_blocks(*conv);
  const auto refused = [](const char* message, auto call) {
    CHECK_THROWS_WITH_AS(call(), message, std::invalid_argument);
  };
  refused("there are branches for 'conv.weight', but no such parameter", [&] {
    FoldedKernels(*conv, CslaBlocks{{"conv.weight", found.blocks.at("weight")}});
  });
  refused("the block of 'weight' has 3 branches, 1 weights were given", [&] {
    FoldedKernels(*conv, found.blocks, {{"weight", {torch::ones({2, 2, 3, 3})}}});
  });
  libtorch::FoldedBlock block = libtorch::folded_blocks(found, false).at("weight");
  block.branches[1].initial_weights.resize(2);
  refused("branch 1 of 'weight' has 1 weights, 2 initial ones were given", [&] {
    FoldedKernels(*conv, libtorch::FoldedBlocks{{"weight", block}});
  });
  FoldedKernels folded(*conv, found);
  const Scales<double> scales = folded.scales();
  const auto refused_scales = [&](const char* message, auto change) {
    Scales<double> changed = scales;
    changed["scale_identity.weight"] = {7, 7};
    change(changed);
    refused(message, [&] { folded.load_scales(changed); });
    CHECK(folded.scales() == scales);
  };
  REQUIRE(scales.size() == 3);
  refused_scales("the scales lack 'scale_1x1.weight'", [](auto& all) { all.erase("scale_1x1.weight"); });
  refused_scales("no branch has the scale 'scale_2x2.weight'", [](auto& all) { all["scale_2x2.weight"] = {1, 1}; });
  refused_scales("'scale_conv.weight' has 1 elements, the branch has 2",
                 [](auto& all) { all["scale_conv.weight"] = {1}; });
  for (const double s : {double(INFINITY), 1e300})
    refused_scales(concat("'scale_conv.weight' holds ", s, ", it must be finite in Float").c_str(), [=](auto& all) {
      all["scale_conv.weight"] = {1, s};
    });
  conv->to(torch::kBFloat16);
  refused("'weight' holds BFloat16, its branches hold Float", [&] { folded.fold(); });
  refused("'weight' holds BFloat16, folded training takes Float and Double", [&] { FoldedKernels(*conv, found); });
}
