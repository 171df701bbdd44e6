// Networks that resemble trained ones, and images for them.
#pragma once

#include <cstdint>
#include <string>

#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/tensor/tensor.hpp"
#include "support/random.hpp"
#include "support/small_models.hpp"
#include "support/tensors.hpp"

namespace repopt::testing {

/// A tiny network with randomly drawn kernels. Its batch norms keep the activations of all blocks at a similar size.
inline nn::Vgg<float> trained_model(nn::Mode mode) {
  Random random(5);
  nn::Vgg<float> model = tiny_model<float>(mode);
  model.visit_parameters([&](const std::string& name, nn::Parameter<float>& parameter) {
    const auto fill = [&](double low, double high) { fill_random<float>(random, parameter.value, low, high); };
    if (name.ends_with("bn.running_var") || name.find("bn_") != name.npos) fill(0.05, 0.3);
    if (name.ends_with(".running_mean") || name.ends_with(".bias")) fill(-0.2, 0.4);
    if (name.ends_with("bn.weight")) fill(0.5, 1);
  });
  return model;
}

inline nn::Tensor<float> random_images(std::uint64_t seed) {
  Random random(seed);
  return random_tensor<float>(random, {16, 8, 8, 3});
}

}  // namespace repopt::testing
