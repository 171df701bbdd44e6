#include "repopt/io/checkpoint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using testing::read_bytes;
using testing::TemporaryFolder;
using testing::write_bytes;

namespace {

/// A kernel with branches, in any layout, and a bias. Their gradients depend only on the number of the step.
template <class Rule, std::floating_point T>
struct Run {
  ConvShape shape;
  std::vector<T> weight, bias, weight_grad, bias_grad;
  RepOptimizer<Rule, T> optimizer;

  Run(typename Rule::Options options, WeightLayout layout, T scale = T(0.3))
      : shape{.in_channels = 4, .out_channels = 4, .layout = layout},
        weight(shape.size(), T(0.1)),
        bias(4),
        weight_grad(shape.size()),
        bias_grad(4) {
    const ConvShape conv_1x1{.in_channels = 4, .out_channels = 4, .kernel_size = {1, 1}, .padding = {0, 0}};
    const CslaBlock<T> block(shape, {{shape, {scale, 2, T(-0.1), 1}}, {conv_1x1, T(0.7)}, Branch<T>::identity(4)});
    optimizer.add_param_group(options).add_param("conv.weight", weight, weight_grad, block);
    options.weight_decay = 0;
    optimizer.add_param_group(options).add_param("bias", bias, bias_grad);
  }

  void step(std::uint64_t number) {
    testing::Random random(number);
    // The gradient is drawn in OIHW, so it is the same in every layout.
    for_each_weight(shape, [&](const WeightIndex& w) { weight_grad[shape.offset(w)] = T(random.real(-1, 1)); });
    std::ranges::copy(random.numbers<T>(4), bias_grad.begin());
    optimizer.step();
  }
};

constexpr Sgd::Options sgd{.lr = 0.1, .momentum = 0.9, .weight_decay = 4e-5, .nesterov = true};
constexpr AdamW::Options adamw{.lr = 1e-3, .betas = {0.9, 0.99}, .amsgrad = true};

/// The run's state as a checkpoint, with the kernel converted to OIHW.
template <class Rule, class T>
io::Checkpoint<T> to_checkpoint(const Run<Rule, T>& run) {
  ConvShape oihw = run.shape;
  oihw.layout = WeightLayout::oihw;
  std::vector<T> weight(oihw.size());
  copy_weight<T>(run.shape, run.weight, oihw, weight);
  io::Checkpoint<T> checkpoint;
  checkpoint.model["conv.weight"] = {{4, 4, 3, 3}, checkpoint.keep(std::move(weight))};
  checkpoint.model["bias"] = {{4}, run.bias};
  checkpoint.optimizer = run.optimizer.state_dict();
  checkpoint.progress = {.epoch = 1, .step = 3};
  checkpoint.random_state = {42, std::numeric_limits<std::uint64_t>::max()};
  checkpoint.options = {{"lr", "0.1"}, {"model", "cifar-small \"x\""}};
  return checkpoint;
}

template <class Rule, class T>
void restore(const io::Checkpoint<T>& saved, Run<Rule, T>& run) {
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
  Run<Rule, T> unbroken(options, WeightLayout::hwio), resumed(typename Rule::Options{}, WeightLayout::ohwi, T(9));
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

/// A checkpoint file whose metadata `key` is replaced by the result of `change`.
void save_changed(const std::filesystem::path& path, const char* key,
                  const std::function<void(nlohmann::json&)>& change) {
  const TemporaryFolder folder;
  Run<Sgd, float> run(sgd, WeightLayout::oihw);
  run.step(0);
  to_checkpoint(run).save(folder / "whole");
  const auto file = formats::Safetensors::load(folder / "whole");
  formats::SafetensorsWriter writer;
  for (const std::string& name : file.names()) {
    if (name == "random_state") {
      writer.add(name, file.info(name).shape, file.tensor<std::uint64_t>(name));
    } else {
      writer.add(name, file.info(name).shape, file.tensor<float>(name));
    }
  }
  for (const auto& [name, value] : file.metadata()) {
    auto json = nlohmann::json::parse(value);
    if (name == key) change(json);
    writer.add_metadata(name, json.dump());
  }
  writer.save(path);
}

}  // namespace

TEST_CASE_TEMPLATE("A run that is resumed from a checkpoint ends bit by bit where the unbroken run ends", T, float,
                   double) {
  check_resume<Sgd, T>(sgd);
  check_resume<AdamW, T>(adamw);
}

TEST_CASE("A checkpoint of a run that has not begun has no buffers, and resumes") {
  const TemporaryFolder folder;
  Run<Sgd, double> run(sgd, WeightLayout::hwio), resumed(sgd, WeightLayout::hwio);
  to_checkpoint(run).save(folder / "checkpoint");
  restore(io::Checkpoint<double>::load(folder / "checkpoint"), resumed);
  run.step(0);
  resumed.step(0);
  CHECK(resumed.weight == run.weight);
}

TEST_CASE(
    "Progress, random state, options and the optimizer's options are restored, and saving again changes no byte") {
  const TemporaryFolder folder;
  Run<AdamW, double> run(adamw, WeightLayout::hwio);
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
  Run<Sgd, double> hwio(sgd, WeightLayout::hwio), oihw(sgd, WeightLayout::oihw);
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
  const Run<Sgd, float> run(sgd, WeightLayout::oihw);
  to_checkpoint(run).save(folder / "checkpoint");
  CHECK_THROWS_WITH_AS(io::Checkpoint<double>::load(folder / "checkpoint"),
                       doctest::Contains("is F32, the run's precision is F64"), std::runtime_error);
}

TEST_CASE("A checkpoint that cannot be saved is refused before the older file is touched") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint";
  Run<Sgd, float> run(sgd, WeightLayout::oihw);
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

TEST_CASE("An incomplete checkpoint is refused, and the message names the file and the place") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint";
  using Json = nlohmann::json;
  const auto refuses = [&](const char* key, const std::function<void(Json&)>& change, const char* message) {
    save_changed(path, key, change);
    CHECK_THROWS_WITH_AS(io::Checkpoint<float>::load(path), doctest::Contains(message), std::runtime_error);
    CHECK_THROWS_WITH_AS(io::Checkpoint<float>::load(path), doctest::Contains(path.c_str()), std::runtime_error);
  };
  save_changed(path, "", [](Json&) {});
  CHECK(io::Checkpoint<float>::load(path).model.size() == 2);

  refuses(
      "progress", [](Json& json) { json.erase("step"); }, "metadata 'progress' lacks 'step'");
  refuses(
      "progress", [](Json& json) { json["step"] = -1; }, "step must be a non-negative integer, it is -1");
  refuses(
      "options", [](Json& json) { json["lr"] = 0.1; }, "lr must be a string, it is 0.1");
  refuses(
      "options", [](Json& json) { json = 7; }, "must be an object, it is 7");
  refuses(
      "optimizer", [](Json& json) { json.erase("rule"); }, "metadata 'optimizer' lacks 'rule'");
  refuses(
      "optimizer", [](Json& json) { json["params"] = 1; }, "params must be an array, it is 1");
  refuses(
      "optimizer", [](Json& json) { json["param_groups"][1]["lr"] = "0.1"; },
      "param_group 1: lr must be a number, it is \"0.1\"");
  refuses(
      "optimizer", [](Json& json) { json["params"][0]["shape"]["groups"] = 3; },
      "'conv.weight': shape: groups must divide in_channels and out_channels");
  refuses(
      "optimizer", [](Json& json) { json["params"][0]["shape"]["stride"] = {1}; },
      "'conv.weight': shape: stride has 1 elements, it must have 2");
  refuses(
      "optimizer",
      [](Json& json) {
        json["params"][0]["shape"]["kernel_size"] = {3, 1};
      },
      "tensor 'optimizer.conv.weight.momentum_buffer' has shape [4, 4, 3, 3], it must be [4, 4, 3, 1]");
  refuses(
      "optimizer", [](Json& json) { json["params"][0]["branches"].erase(2); },
      "tensor 'optimizer.conv.weight.scale.2' belongs to no parameter of the optimizer");
  refuses(
      "optimizer", [](Json& json) { json["params"][0]["buffers"].push_back("exp_avg"); },
      "has no tensor 'optimizer.conv.weight.exp_avg'");
  refuses(
      "optimizer", [](Json& json) { json["params"][0]["counters"]["step"] = 1.5; },
      "step must be a non-negative integer, it is 1.5");
}

TEST_CASE("A model file is refused as a checkpoint") {
  const TemporaryFolder folder;
  formats::SafetensorsWriter writer;
  writer.add<float>("w", {1}, {1});
  writer.save(folder / "model");
  CHECK_THROWS_WITH_AS(io::Checkpoint<float>::load(folder / "model"),
                       doctest::Contains("is not a checkpoint: its metadata lack 'optimizer'"), std::runtime_error);
}

TEST_CASE("A checkpoint with any flipped bit is refused") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint";
  Run<Sgd, float> run(sgd, WeightLayout::oihw);
  run.step(0);
  to_checkpoint(run).save(path);
  const std::string whole = read_bytes(path);
  testing::Random random(2);
  for (std::size_t place = 0; place < whole.size(); ++place) {
    std::string flipped = whole;
    flipped[place] = char(flipped[place] ^ (1 << random.integer(0, 7)));
    write_bytes(path, flipped);
    CAPTURE(place);
    CHECK_THROWS_WITH_AS(io::Checkpoint<float>::load(path), doctest::Contains(path.c_str()), std::runtime_error);
  }
  const auto refuses = [&](std::size_t place, char bit, const char* message) {
    std::string flipped = whole;
    flipped[place] = char(flipped[place] ^ bit);
    write_bytes(path, flipped);
    CHECK_THROWS_WITH_AS(io::Checkpoint<float>::load(path), doctest::Contains(message), std::runtime_error);
  };
  refuses(whole.size() - 1, 1, "its checksum does not fit");
  refuses(whole.find(R"("step\":3)") + 8, 1, "its checksum does not fit");
  refuses(whole.find("repopt.crc32"), 1,
          "is damaged or was written by another program: its metadata lack 'repopt.crc32'");
}

TEST_CASE("Checkpoints with other numbers in the metadata are either read or refused with runtime_error") {
  const TemporaryFolder folder;
  const auto path = folder / "checkpoint";
  Run<AdamW, float> run(adamw, WeightLayout::oihw);
  run.step(0);
  to_checkpoint(run).save(path);
  const std::string whole = read_bytes(path);
  const std::size_t header = whole.find("{\"dtype\""), digits = formats::Checksum::find(whole);
  testing::Random random(1);
  std::size_t read = 0;
  for (std::size_t i = 0; i < 1000; ++i) {
    std::string changed = whole;
    changed.replace(digits, formats::Checksum::blank.size(), formats::Checksum::blank);
    // Replace digits by other digits, so that the metadata are still JSON but no longer true.
    const std::size_t place = changed.find_first_of("0123456789", random.integer(8, header));
    if (place < digits) changed[place] = "0123456789"[random.integer(0, 9)];
    formats::Crc32 crc;
    crc.add(changed);
    changed.replace(digits, formats::Checksum::blank.size(), crc.text());
    write_bytes(path, changed);
    try {
      io::Checkpoint<float>::load(path);
      ++read;
    } catch (const std::runtime_error&) {
    }
  }
  CHECK(read > 0);
  CHECK(read < 1000);
}
