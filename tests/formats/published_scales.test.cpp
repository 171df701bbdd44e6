// Tests the scales that the authors of arXiv 2205.15242 published, if REPOPT_SCALES_DIR names a folder with them.
#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "repopt/formats/scales_file.hpp"
#include "repopt/repopt.hpp"

using namespace repopt;

namespace {

std::filesystem::path published(const char* name) {
  return std::filesystem::path(std::getenv("REPOPT_SCALES_DIR")) / name;
}

/// The number of parameters in the optimizer that is built with a file's scales, in millions, rounded to one digit
/// after the point.
double optimizer_size(const char* model_name, const char* file) {
  const nn::VggConfig config = nn::vgg_preset(model_name);
  const auto scales = formats::load_scales<float>(published(file), nn::scale_lengths(config));
  nn::Vgg<float> model = nn::plain_vgg<float>(config, 0);
  RepSgd<float> optimizer;
  nn::add_parameters(optimizer, model, {.lr = 0.1}, nn::prior_blocks(config, scales));
  std::size_t parameters = 0;
  for (const auto& group : optimizer.param_groups())
    for (const auto& param : group.params()) parameters += param.weight.size();
  return std::round(double(parameters) / 1e5) / 10;
}

}  // namespace

TEST_CASE("The published scales of B1 and L1 bind by name and build their optimizers" *
          doctest::skip(!std::getenv("REPOPT_SCALES_DIR"))) {
  CHECK(optimizer_size("B1", "RepOpt-VGG-B1-scales.safetensors") == 51.8);
  CHECK(optimizer_size("L1", "RepOpt-VGG-L1-scales.safetensors") == 76.0);
}

TEST_CASE("The published scales of GhostNet are refused, and the message lists names from the file" *
          doctest::skip(!std::getenv("REPOPT_SCALES_DIR"))) {
  const auto lengths = nn::scale_lengths(nn::vgg_preset("B1"));
  try {
    formats::load_scales<float>(published("RepOptGhostNet_0_5x_scales.safetensors"), lengths);
    FAIL("GhostNet's scales were accepted as B1's");
  } catch (const std::runtime_error& error) {
    const std::string message = error.what();
    MESSAGE(message);
    CHECK(message.find("RepOptGhostNet_0_5x_scales.safetensors") != std::string::npos);
    CHECK(message.find("blocks.") != std::string::npos);  // names from the file
  }
}
