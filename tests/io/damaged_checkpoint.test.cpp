#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "io/checkpointed_run.hpp"
#include "repopt/io/checkpoint.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

/// A checkpoint file whose metadata `key` is replaced by the result of `change`.
void save_changed(const std::filesystem::path& path, const char* key,
                  const std::function<void(nlohmann::json&)>& change) {
  const TemporaryFolder folder;
  save_one_step<Sgd>(nesterov, folder / "whole");
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
  save_one_step<Sgd>(nesterov, path);
  const std::string whole = read_bytes(path);
  Random random(2);
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
  save_one_step<AdamW>(amsgrad, path);
  const std::string whole = read_bytes(path);
  const std::size_t header = whole.find("{\"dtype\""), digits = formats::Checksum::find(whole);
  Random random(1);
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
