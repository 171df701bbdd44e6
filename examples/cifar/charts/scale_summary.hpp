// ScaleSummary: what a file of scales holds, scale by scale.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "repopt/core/scales.hpp"

namespace repopt_cifar {

/// One scale of a file. `mean`, `min` and `max` ignore values that are not finite; they are NaN if no value is finite.
struct ScaleSummary {
  std::string name;
  std::size_t length = 0;
  double mean = 0, min = 0, max = 0;
  std::size_t negative = 0, not_finite = 0;
};

/// Summarizes every scale, in the order of the layers.
std::vector<ScaleSummary> summarize(const repopt::Scales<double>& scales);

}  // namespace repopt_cifar
