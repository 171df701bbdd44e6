#include "repopt/formats/scales_file.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using testing::TemporaryFolder;

namespace {

const ScaleLengths expected{
    {"stage0.scale_conv.weight", 2}, {"stage0.scale_1x1.weight", 2}, {"stage1.1.scale_identity.weight", 3}};

Scales<float> example() {
  return {{"stage0.scale_conv.weight", {1, -2}},
          {"stage0.scale_1x1.weight", {0.5f, 0.25f}},
          {"stage1.1.scale_identity.weight", {1, 1, 0.1f}}};
}

void refuses(const Scales<float>& scales, const char* message) {
  CHECK_THROWS_WITH_AS(formats::bind_scales(scales, expected, "file"), message, std::runtime_error);
}

}  // namespace

TEST_CASE_TEMPLATE("Scales are read from their file as they were written, bit by bit", T, float, double) {
  const TemporaryFolder folder;
  const Scales<T> scales{{"a", {T(0.1), T(-3)}}, {"b", {std::numeric_limits<T>::denorm_min()}}};
  formats::save_scales<T>(folder / "scales", scales, {{"model", "B1"}});
  CHECK(formats::load_scales<T>(folder / "scales") == scales);
  CHECK(formats::Safetensors::load(folder / "scales").metadata("model") == "B1");
}

TEST_CASE("Scales are read in the requested precision") {
  const TemporaryFolder folder;
  formats::save_scales<double>(folder / "double", {{"a", {0.1}}});
  CHECK(formats::load_scales<float>(folder / "double").at("a")[0] == 0.1f);
  formats::save_scales<float>(folder / "float", {{"a", {0.1f}}});
  CHECK(formats::load_scales<double>(folder / "float").at("a")[0] == double(0.1f));
}

TEST_CASE("Files that hold something other than scales are refused by name") {
  const TemporaryFolder folder;
  formats::SafetensorsWriter matrix, integers;
  matrix.add<float>("fc.weight", {1, 2}, {1, 2});
  matrix.save(folder / "matrix");
  integers.add<std::int64_t>("steps", {1}, {1});
  integers.save(folder / "integers");
  CHECK_THROWS_WITH_AS(formats::load_scales<float>(folder / "matrix"),
                       doctest::Contains("scale 'fc.weight' has shape [1, 2], it must have one dimension"),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(formats::load_scales<float>(folder / "integers"), doctest::Contains("tensor 'steps' is I64"),
                       std::runtime_error);
}

TEST_CASE("Scales are matched by name, and every fault is listed with both values") {
  CHECK(formats::bind_scales(example(), expected) == example());
  auto scales = example();
  scales.erase("stage0.scale_conv.weight");
  refuses(scales, "file: the first layer that does not fit is 'stage0'; 1 missing: 'stage0.scale_conv.weight'");
  for (const char* name : {"x", "y1", "y2", "y10", "z"}) scales[name] = {1};
  refuses(scales,
          "file: the first layer that does not fit is 'stage0'; 1 missing: 'stage0.scale_conv.weight'; 5 extra: 'x', "
          "'y1', 'y2' and 2 more");

  scales = example();
  scales["stage0.scale_1x1.weight"].push_back(1);
  scales["stage1.1.scale_identity.weight"][2] = std::numeric_limits<float>::infinity();
  refuses(scales,
          "file: the first layer that does not fit is 'stage0'; 1 of the wrong length: 'stage0.scale_1x1.weight' has 3 "
          "elements, expected are 2; "
          "1 not finite: 'stage1.1.scale_identity.weight' holds inf at index 2");
  scales = example();
  scales["stage0.scale_conv.weight"][0] = std::numeric_limits<float>::quiet_NaN();
  refuses(scales, "file: 1 not finite: 'stage0.scale_conv.weight' holds nan at index 0");
  scales["stage0.scale_conv.weight"] = {1, 1e30f};
  refuses(scales, "file: 1 not finite: 'stage0.scale_conv.weight' holds 1e+30 at index 1, whose square is not");
  for (const float nothing : {0.0f, 1e-30f}) {
    scales["stage0.scale_conv.weight"] = {nothing, -nothing};
    refuses(scales, "file: 1 zero in every channel, so that its branch would never train: 'stage0.scale_conv.weight'");
  }
}

TEST_CASE("The error for scales of another preset names the first layer that does not fit, in the network's order") {
  const auto ones = [](const char* preset) {
    Scales<float> scales;
    for (const auto& [name, length] : nn::scale_lengths(nn::vgg_preset(preset))) scales[name].assign(length, 1);
    return scales;
  };
  const auto refusal = [&](const char* scales, const char* preset) -> std::string {
    try {
      formats::bind_scales(ones(scales), nn::scale_lengths(nn::vgg_preset(preset)));
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "none";
  };
  CHECK(refusal("cifar-deep", "cifar-deep") == "none");
  CHECK(refusal("cifar-deep", "cifar-small").starts_with("scales: the first layer that does not fit is 'stage0'; "));
  CHECK(refusal("B2", "B1").starts_with("scales: the first layer that does not fit is 'stage1.0'; "));
  CHECK(refusal("L1", "B1").starts_with("scales: the first layer that does not fit is 'stage1.4'; 60 extra: "));
  // in alphabetical order "stage3.10" comes before "stage3.2"
  auto scales = ones("cifar-deep");
  scales["stage3.2.scale_conv.weight"].push_back(1);
  scales.erase("stage3.10.scale_1x1.weight");
  CHECK_THROWS_WITH_AS(
      formats::bind_scales(scales, nn::scale_lengths(nn::vgg_preset("cifar-deep"))),
      "scales: the first layer that does not fit is 'stage3.2'; 1 missing: 'stage3.10.scale_1x1.weight'; 1 of the "
      "wrong length: 'stage3.2.scale_conv.weight' has 65 elements, expected are 64",
      std::runtime_error);
}

TEST_CASE("Scales of another architecture are refused, and the message lists their names") {
  refuses({{"blocks.0.0.ghost1.fusion_scale.weight", {1}}, {"blocks.0.0.ghost2.fusion_scale.weight", {1}}},
          "file: none of the expected names is there: expected are 'stage0.scale_1x1.weight', "
          "'stage0.scale_conv.weight', 'stage1.1.scale_identity.weight'; it holds "
          "'blocks.0.0.ghost1.fusion_scale.weight', 'blocks.0.0.ghost2.fusion_scale.weight'");
  refuses({},
          "file: none of the expected names is there: expected are 'stage0.scale_1x1.weight', "
          "'stage0.scale_conv.weight', 'stage1.1.scale_identity.weight'; it holds nothing");
}

TEST_CASE("Loading and binding in one call names the file") {
  const TemporaryFolder folder;
  const auto path = folder / "scales";
  formats::save_scales<float>(path, example());
  CHECK(formats::load_scales<float>(path, expected) == example());
  CHECK_THROWS_WITH_AS(
      formats::load_scales<float>(path, {{"stage0.scale_conv.weight", 2}}),
      (path.string() + ": the first layer that does not fit is 'stage0'; 2 extra: 'stage0.scale_1x1.weight', "
                       "'stage1.1.scale_identity.weight'")
          .c_str(),
      std::runtime_error);
}
