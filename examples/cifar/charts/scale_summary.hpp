// What a file of scales holds, scale by scale, and its picture.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "repopt/core/scales.hpp"

namespace repopt_cifar {

/// One scale. Mean, min and max are over its finite values, and NaN if there are none.
struct ScaleSummary {
  std::string name;
  std::size_t length = 0;
  double mean = 0, min = 0, max = 0;
  std::size_t negative = 0, not_finite = 0;
};

/// Every scale, in the order of the layers.
std::vector<ScaleSummary> summarize(const repopt::Scales<double>& scales);

/// The ranges as SVG: a row for each layer, and a column for each kind of scale if there are up to three kinds, else
/// one for all. `title` and `notes`, a line each, stand above.
std::string scales_svg(const std::string& title, const std::vector<std::string>& notes,
                       const std::vector<ScaleSummary>& scales);

}  // namespace repopt_cifar
