// Networks that are small enough for a test, and scales of both signs.
#pragma once

#include <cstdint>
#include <string>

#include "repopt/core/scales.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"
#include "support/random.hpp"

namespace repopt::testing {

/// A network of about two thousand weights, with and without identity branches, for images of 8x8 pixels.
inline nn::VggConfig tiny_config() {
  return {.name = "tiny",
          .stem = 4,
          .widths = {4, 5, 6, 7},
          .blocks = {1, 2, 1, 1},
          .strides = {1, 1, 2, 1, 2},
          .classes = 5};
}

/// Scales of magnitude 0.5 to 1.5. About every third is negative.
template <class T>
Scales<T> mixed_sign_scales(const nn::VggConfig& config, std::uint64_t seed) {
  Random random(seed);
  Scales<T> scales;
  for (const auto& [name, length] : nn::scale_lengths(config))
    for (std::size_t c = 0; c < length; ++c)
      scales[name].push_back(T(random.real(0.5, 1.5) * (random.integer(0, 2) == 0 ? -1 : 1)));
  return scales;
}

/// A network of tiny_config() in a mode. If the mode has scales, they have both signs.
template <class T>
nn::Vgg<T> tiny_model(nn::Mode mode, std::uint64_t seed = 1) {
  const nn::VggConfig config = tiny_config();
  return nn::build_vgg<T>(config, mode, seed, nn::has_scales(mode) ? mixed_sign_scales<T>(config, 2) : Scales<T>{});
}

}  // namespace repopt::testing
