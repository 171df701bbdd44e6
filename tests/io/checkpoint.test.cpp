#include "repopt/io/checkpoint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "io/checkpointed_run.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

template <class Rule, class T>
void restore(const io::Checkpoint<T>& saved, CheckpointedRun<Rule, T>& run) {
  ConvShape oihw = run.shape;
  oihw.layout = WeightLayout::oihw;
  copy_weight<T>(oihw, saved.model.at("conv.weight").elements, run.shape, run.weight);
  std::ranges::copy(saved.model.at("bias").elements, run.bias.begin());
  run.optimizer.load_state_dict(saved.optimizer);
}

/// Checks that a run that stops after three steps and is resumed ends exactly like a run that never stops. The process
/// that resumes it has only the file, another layout, other scales and other options.
template <class Rule, class T>
void check_resume(const typename Rule::Options& options) {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint.safetensors";
  CheckpointedRun<Rule, T> unbroken(options, WeightLayout::hwio),
      resumed(typename Rule::Options{}, WeightLayout::ohwi, T(9));
  for (std::uint64_t number = 0; number < 3; ++number) unbroken.step(number);
  to_checkpoint(unbroken).save(path);
  {
    auto saved = io::Checkpoint<T>::load(path);
    const auto moved = std::move(saved);
    restore(moved, resumed);
  }
  for (std::uint64_t number = 3; number < 6; ++number) {
    unbroken.step(number);
    resumed.step(number);
  }
  CHECK(resumed.bias == unbroken.bias);
  for_each_weight(unbroken.shape, [&](const WeightIndex& w) {
    REQUIRE(resumed.weight[resumed.shape.offset(w)] == unbroken.weight[unbroken.shape.offset(w)]);
  });
}

}  // namespace

TEST_CASE_TEMPLATE("A run that is resumed from a checkpoint ends bit by bit where the unbroken run ends", T, float,
                   double) {
  check_resume<Sgd, T>(nesterov);
  check_resume<AdamW, T>(amsgrad);
}

TEST_CASE("A checkpoint of a run that has not begun has no buffers, and resumes") {
  const TemporaryFolder folder;
  CheckpointedRun<Sgd, double> run(nesterov, WeightLayout::hwio), resumed(nesterov, WeightLayout::hwio);
  to_checkpoint(run).save(folder / "checkpoint");
  restore(io::Checkpoint<double>::load(folder / "checkpoint"), resumed);
  run.step(0);
  resumed.step(0);
  CHECK(resumed.weight == run.weight);
}

TEST_CASE(
    "Progress, random state, options and the optimizer's options are restored, and saving again changes no byte") {
  const TemporaryFolder folder;
  CheckpointedRun<AdamW, double> run(amsgrad, WeightLayout::hwio);
  run.step(0);
  to_checkpoint(run).save(folder / "first");
  const auto saved = io::Checkpoint<double>::load(folder / "first");
  CHECK(saved.progress == io::Progress{.epoch = 1, .step = 3});
  CHECK(saved.random_state == std::vector<std::uint64_t>{42, std::numeric_limits<std::uint64_t>::max()});
  CHECK(saved.options == std::map<std::string, std::string>{{"lr", "0.1"}, {"model", "cifar-small \"x\""}});
  CHECK(saved.optimizer.rule == "adamw");
  CHECK(saved.optimizer.param_groups == run.optimizer.state_dict().param_groups);
  CHECK(saved.optimizer.params[0].counters.at("step") == 1);
  CHECK(saved.optimizer.params[0].shape->layout == WeightLayout::oihw);
  saved.save(folder / "second");
  CHECK(read_bytes(folder / "second") == read_bytes(folder / "first"));
}

TEST_CASE("Files have PyTorch's order: the buffer of an HWIO kernel is OIHW in the file") {
  const TemporaryFolder folder;
  CheckpointedRun<Sgd, double> hwio(nesterov, WeightLayout::hwio), oihw(nesterov, WeightLayout::oihw);
  hwio.step(0);
  oihw.step(0);
  to_checkpoint(hwio).save(folder / "checkpoint");
  const auto file = formats::Safetensors::load(folder / "checkpoint");
  CHECK(file.tensor<double>("conv.weight") == oihw.weight);
  CHECK(file.tensor<double>("optimizer.conv.weight.momentum_buffer") ==
        oihw.optimizer.param_groups()[0].params()[0].state.momentum_buffer);
  CHECK(file.info("optimizer.conv.weight.momentum_buffer").shape == std::vector<std::size_t>{4, 4, 3, 3});
  CHECK(file.tensor<double>("optimizer.conv.weight.scale.0") == std::vector<double>{0.3, 2, -0.1, 1});
}

TEST_CASE("A checkpoint in another precision is refused, because the run would not continue exactly") {
  const TemporaryFolder folder;
  const CheckpointedRun<Sgd, float> run(nesterov, WeightLayout::oihw);
  to_checkpoint(run).save(folder / "checkpoint");
  CHECK_THROWS_WITH_AS(io::Checkpoint<double>::load(folder / "checkpoint"),
                       doctest::Contains("is F32, the run's precision is F64"), std::runtime_error);
}

TEST_CASE("A checkpoint that cannot be saved is refused before the older file is touched") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint";
  CheckpointedRun<Sgd, float> run(nesterov, WeightLayout::oihw);
  to_checkpoint(run).save(path);
  const std::string before = read_bytes(path);
  const std::vector<float> four(4);
  const auto refuses = [&](const std::string& name, std::vector<std::size_t> shape, const char* message) {
    auto checkpoint = to_checkpoint(run);
    checkpoint.model[name] = {std::move(shape), four};
    CHECK_THROWS_WITH_AS(checkpoint.save(path), doctest::Contains(message), std::invalid_argument);
  };
  refuses("optimizer.x", {4}, "'optimizer.x' cannot be the name of a model's tensor");
  refuses("random_state", {4}, "'random_state' cannot be the name");
  refuses("x", {5}, "tensor 'x' has 4 elements, its shape [5]");
  auto checkpoint = to_checkpoint(run);
  checkpoint.optimizer.param_groups[0]["lr"] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH_AS(checkpoint.save(path), "option 'lr' is nan, it must be finite", std::invalid_argument);
  auto not_utf8 = to_checkpoint(run);
  not_utf8.options["data"] = "caf\xe9";
  CHECK_THROWS_WITH_AS(not_utf8.save(path), doctest::Contains("a text for a file is not UTF-8"), std::invalid_argument);
  CHECK(read_bytes(path) == before);
  CHECK(folder.count() == 1);
}
