// init_uniform: draws the initial numbers of kernels and linear layers.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "repopt/base/random.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/nn/layers/parameter.hpp"

namespace repopt::nn {

/// Fills a parameter (a Parameter or a ParameterView) like PyTorch's Conv2d and Linear: uniform in +-1 / sqrt(fan_in).
/// Each number depends on `seed`, `name` and the place in PyTorch's order, so it does not depend on the layout in
/// memory.
void init_uniform(auto& parameter, std::size_t fan_in, std::uint64_t seed, std::string_view name) {
  using T = std::remove_reference_t<decltype(parameter.value[0])>;
  const double bound = 1 / std::sqrt(double(fan_in));
  const auto draw = [&, hash = name_hash(name)](std::size_t index) {
    return T(bound * (2 * to_uniform(random_bits(seed, hash, index)) - 1));
  };
  std::size_t index = 0;
  if (parameter.conv)
    for_each_weight(*parameter.conv, [&](const WeightIndex& weight) {
      parameter.value[parameter.conv->offset(weight)] = draw(index++);
    });
  else
    for (T& value : parameter.value) value = draw(index++);
}

}  // namespace repopt::nn
