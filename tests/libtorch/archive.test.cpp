// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

#include "libtorch/net_blocks.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::CslaBlocks;
using torch::Tensor;
using torch::optim::SGDOptions;
using torch::serialize::OutputArchive;

namespace {

/// The saved state of an optimizer for a Linear(2, 2) without bias, which write() writes key by key.
struct LinearState {
  std::int64_t group = 0;
  Tensor shapes = torch::tensor({{2, 2, 1, 1, 0, 0, 1, 1, 1, 1, 1}, {2, 2, 1, 1, 0, 0, 1, 1, 1, 1, 1}}, torch::kLong);
  Tensor scales = torch::tensor({{2, 3}}, torch::kDouble);
  torch::optim::SGDParamState sgd{};
  torch::optim::AdamWParamState adamw{};

  LinearState() { sgd.momentum_buffer(torch::ones({2, 2})); }

  std::string write(const std::string& rule = "sgd") const {
    OutputArchive archive, options(archive.compilation_unit()), param(archive.compilation_unit()),
        state(archive.compilation_unit());
    if (rule == "sgd") {
      SGDOptions(0.5).momentum(0.25).serialize(options);
      sgd.serialize(state);
    } else {
      torch::optim::AdamWOptions(0.5).serialize(options);
      adamw.serialize(state);
    }
    param.write("name", std::string("weight"));
    param.write("group", group);
    param.write("shapes", shapes);
    param.write("scales", scales);
    param.write("state", state);
    archive.write("rule", rule);
    archive.write("param_groups", std::int64_t(1));
    archive.write("options0", options);
    archive.write("param0", param);
    archive.write("params", std::int64_t(1));
    std::ostringstream file;
    archive.save_to(file);
    return file.str();
  }
};

struct LinearModel {
  torch_nn::Linear layer{torch_nn::LinearOptions(2, 2).bias(false)};
  CslaBlocks blocks{{"weight", CslaBlock<double>::plain(ConvShape::linear(2, 2))}};

  LinearModel() {
    torch_nn::init::ones_(layer->weight);
    layer->weight.mutable_grad() = torch::ones({2, 2});
  }
};

}  // namespace

TEST_CASE("An archive that the test writes key by key is loaded: the keys are the format") {
  LinearModel model;
  libtorch::RepSgd optimizer(*model.layer, model.blocks, SGDOptions(9));
  std::istringstream file(LinearState().write());
  torch::load(optimizer, file);
  optimizer.step();  // lr 0.5, GradMult 2 * 2 and 3 * 3, momentum 0.25 of a buffer of ones
  const Tensor expected =
      torch::tensor({{1 - 0.5 * 4.25, 1 - 0.5 * 4.25}, {1 - 0.5 * 9.25, 1 - 0.5 * 9.25}}, torch::kFloat);
  CHECK(model.layer->weight.equal(expected));
}

TEST_CASE("An archive whose parts contradict each other or the optimizer is refused by name") {
  LinearModel model;
  libtorch::RepSgd rep_sgd(*model.layer, model.blocks, SGDOptions(9));
  libtorch::RepAdamW rep_adamw(*model.layer, model.blocks, torch::optim::AdamWOptions(9));
  const auto refused = [](auto& optimizer, const char* message, const std::string& text) {
    std::istringstream file(text);
    CHECK_THROWS_WITH_AS(torch::load(optimizer, file), message, std::invalid_argument);
  };
  const auto changed = [](auto change) {
    LinearState state;
    change(state);
    return state;
  };
  const auto refused_sgd = [&](const char* message, auto change) {
    refused(rep_sgd, message, changed(change).write("sgd"));
  };
  const auto refused_adamw = [&](const char* message, auto change) {
    refused(rep_adamw, message, changed(change).write("adamw"));
  };
  refused_sgd("'weight' is in param_group 0, saved in 1", [](LinearState& state) { state.group = 1; });
  refused_sgd("'weight' has 2 out_channels, the saved scales are for 3", [](LinearState& state) {
    state.scales = torch::ones({1, 3}, torch::kDouble);
  });
  refused_sgd("a saved scale of 'weight' is not finite", [](LinearState& state) { state.scales[0][1] = NAN; });
  refused_sgd(
      "the saved block of 'weight' has shapes of sizes (2, 10) and scales of sizes (1, 2), they must be (1 + branches, "
      "11) of Long and (branches, out_channels) of Double",
      [](LinearState& state) { state.shapes = state.shapes.slice(1, 0, 10); });
  refused_sgd(
      "'weight' is [conv 2->2, kernel 1x1, padding 0x0, stride 1x1, dilation 1x1, groups 1, oihw], saved is [conv "
      "2->2, "
      "kernel 1x1, padding 0x0, stride 1x1, dilation 1x1, groups 2, oihw]",
      [](LinearState& state) { state.shapes[0][10] = 2; });
  refused_sgd("momentum_buffer of 'weight' has sizes (2, 2), saved are (4)",
              [](LinearState& state) { state.sgd.momentum_buffer(torch::ones({4})); });
  refused_adamw("saved state of 'weight': step is 3, exp_avg is saved, exp_avg_sq is missing", [](LinearState& state) {
    state.adamw.step(3);
    state.adamw.exp_avg(torch::ones({2, 2}));
  });
  refused_adamw("saved state of 'weight': step is 0, exp_avg is saved, exp_avg_sq is saved", [](LinearState& state) {
    state.adamw.exp_avg(torch::ones({2, 2}));
    state.adamw.exp_avg_sq(torch::ones({2, 2}));
  });
}

TEST_CASE("The saved state of another optimizer is refused by name, and the optimizer stays unchanged") {
  const CslaBlocks blocks = net_blocks(), ones = with_scales(blocks, [](double) { return 1.0; });
  CslaBlocks fewer = blocks, other_branches = blocks;
  fewer.erase("conv1.weight");
  other_branches.at("mix.weight") = CslaBlock<double>::plain(ConvShape::linear(6, 6));
  Net net(blocks, false), wide(blocks, false);
  wide.to(torch::kDouble);
  wide.forward(torch::randn({2, 3, 7, 6}, torch::kDouble)).sum().backward();
  net.forward(torch::randn({2, 3, 7, 6})).sum().backward();
  libtorch::RepSgd optimizer(net, ones, SGDOptions(0.5));
  const auto refused = [&](const char* message, auto saved) {
    saved.step();
    std::stringstream file;
    torch::save(saved, file);
    CHECK_THROWS_WITH_AS(torch::load(optimizer, file), message, std::invalid_argument);
    CHECK(static_cast<SGDOptions&>(optimizer.param_groups()[0].options()).lr() == 0.5);
    for (const auto& [name, block] : optimizer.csla_blocks()) CHECK((block.branches() == ones.at(name).branches()));
  };
  refused("the archive holds no optimizer of repopt::libtorch", torch::optim::SGD(net.parameters(), sgd));
  refused("the optimizer's rule is sgd, the saved one is adamw", libtorch::RepAdamW(net, blocks, adamw));
  refused("the optimizer has 1 param_groups, the saved state has 2",
          libtorch::RepSgd(rep_groups<libtorch::RepSgd>(net, sgd), blocks, sgd));
  refused("'conv1.weight' has a CSLA block, the saved state has none", libtorch::RepSgd(net, fewer, sgd));
  refused("'mix.weight' has 2 branches, the saved state has 1", libtorch::RepSgd(net, other_branches, sgd));
  refused("momentum_buffer of 'conv0.weight' holds Float, saved is Double", libtorch::RepSgd(wide, blocks, sgd));

  std::stringstream file;
  torch::save(libtorch::RepSgd(net, blocks, sgd), file);
  std::stringstream torn(file.str().substr(0, file.str().size() / 2));
  CHECK_THROWS_AS(torch::load(optimizer, torn), c10::Error);
  for (const auto& [name, block] : optimizer.csla_blocks()) CHECK((block.branches() == ones.at(name).branches()));

  libtorch::NamedParams renamed = net.named_parameters();
  renamed.insert("more", torch::zeros({4}));
  refused("the optimizer lacks 'more' of the saved state", libtorch::RepSgd({{.params = renamed}}, blocks, sgd));
}
