// Writes a safetensors file, a scales file and an optimizer's state to the working folder and reads them again.
#include <array>
#include <cstddef>
#include <cstdio>
#include <repopt/core/csla_block.hpp>
#include <repopt/formats/optimizer_file.hpp>
#include <repopt/formats/safetensors.hpp>
#include <repopt/formats/scales_file.hpp>
#include <repopt/optim/rep_optimizer.hpp>
#include <repopt/optim/rules/sgd.hpp>
#include <string>
#include <vector>

namespace {

const std::string path = "uses_formats.safetensors";

bool safetensors_hold_a_tensor() {
  const std::vector<float> elements{1, 2, 3, 4, 5, 6};
  repopt::formats::SafetensorsWriter writer;
  writer.add("weight", {2, 3}, elements);
  writer.save(path);
  const auto file = repopt::formats::Safetensors::load(path);
  file.require_shape("weight", std::array<std::size_t, 2>{2, 3});
  return file.tensor<float>("weight") == elements;
}

bool scales_hold_a_scale() {
  const repopt::Scales<double> scales{{"stage1.0.scale_conv.weight", {0.5, 0.25}}};
  repopt::formats::save_scales(path, scales);
  return repopt::formats::load_scales<double>(path, {{"stage1.0.scale_conv.weight", 2}}) == scales;
}

// Trains one weight that stands for two branches, with s = 1 and s = 2: GradMult is 1 + 4.
class Training {
 public:
  Training() {
    const auto shape = repopt::ConvShape::linear(1, 1);
    const repopt::CslaBlock<double> block(shape, {{shape, 1.0}, {shape, 2.0}});
    optimizer.add_param_group({.lr = 0.5, .momentum = 0.5}).add_param("weight", weight, grad, block);
  }

  std::vector<double> weight{0};
  const std::vector<double> grad{1};
  repopt::RepSgd<double> optimizer;
};

bool a_resumed_training_has_its_momentum() {
  Training saved, resumed;
  saved.optimizer.step();
  repopt::formats::SafetensorsWriter writer;
  repopt::formats::add_optimizer(writer, saved.optimizer.state_dict());
  writer.save(path);
  const repopt::formats::SavedOptimizer<double> file(repopt::formats::Safetensors::load(path));
  resumed.optimizer.load_state_dict(file.state_dict());
  resumed.optimizer.step();  // by lr * (momentum * 5 + 5)
  return saved.weight[0] == -2.5 && resumed.weight[0] == -3.75;
}

}  // namespace

int main() {
  const bool right = safetensors_hold_a_tensor() && scales_hold_a_scale() && a_resumed_training_has_its_momentum();
  std::remove(path.c_str());
  return right ? 0 : 1;
}
