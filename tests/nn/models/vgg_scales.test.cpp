#include "repopt/nn/models/vgg_scales.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/models/folded_priors.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <vector>

using namespace repopt;
using namespace repopt::nn;

namespace {

Scales<float> ones(const char* preset) {
  Scales<float> scales;
  for (const auto& [name, length] : scale_lengths(vgg_preset(preset))) scales[name].assign(length, 1);
  return scales;
}

}  // namespace

TEST_CASE("LayerOrder is the order of the layers for numbers of any length") {
  const std::vector<std::string> ordered{"",    "a",   "a.1",      "a.b",       "a1",       "a1.0",
                                         "a2",  "a10", "a10.9",    "a10.10",    "ab",       "b",
                                         "b01", "b10", "stage1.2", "stage1.2x", "stage1.9", "stage1.10"};
  const LayerOrder before;
  for (std::size_t i = 0; i < ordered.size(); ++i)
    for (std::size_t j = 0; j < ordered.size(); ++j) {
      CAPTURE(ordered[i]);
      CAPTURE(ordered[j]);
      CHECK(before(ordered[i], ordered[j]) == (i < j));
    }

  for (const VggConfig& preset : vgg_presets()) {
    std::vector<std::string> layers, specs;
    for (const auto& [name, length] : scale_lengths(preset))
      if (const std::string layer(ScaleName(name).layer); layers.empty() || layers.back() != layer)
        layers.push_back(layer);
    for (const BlockSpec& spec : preset.block_specs()) specs.push_back(spec.name);
    CHECK(layers == specs);
  }
}

TEST_CASE("A scale's name has a layer and a kind") {
  const auto parts = [](std::string_view name) {
    const ScaleName found(name);
    return std::string(found.layer) + "|" + std::string(found.kind);
  };
  CHECK(parts("stage1.10.scale_1x1.weight") == "stage1.10|scale_1x1");
  CHECK(parts("blocks.0.0.ghost1.cheap_operation.1.weight") == "blocks.0.0.ghost1|cheap_operation.1");
  CHECK(parts("blocks.0.0.ghost1.fusion_scale") == "blocks.0.0.ghost1|fusion_scale");
  CHECK(parts("scale") == "scale|");
  CHECK(parts("1.2") == "1|2");
  CHECK(parts("") == "|");
}

TEST_CASE("Scales fit the presets that have exactly their names and lengths") {
  using Names = std::vector<std::string>;
  for (const VggConfig& preset : vgg_presets()) CHECK(fitting_presets(ones(preset.name.c_str())) == Names{preset.name});
  Scales<float> scales = ones("B1");
  scales["stage1.0.scale_conv.weight"].pop_back();
  CHECK(fitting_presets(scales).empty());
  scales.erase("stage1.0.scale_conv.weight");
  CHECK(fitting_presets(scales).empty());
  scales = ones("B1");
  scales["stage5.0.scale_conv.weight"] = {1};
  CHECK(fitting_presets(scales).empty());
  CHECK(fitting_presets(Scales<float>()).empty());
}
