// scales_svg(): the picture of a file of scales.
#pragma once

#include <string>
#include <vector>

#include "charts/scale_summary.hpp"

namespace repopt_cifar {

/// Draws the range of each scale as an SVG picture with one row for each layer. It has one column for each kind of
/// scale if there are at most three kinds. Otherwise it has a single column, and each scale gets a row. `title` and the
/// lines of `notes` stand above.
std::string scales_svg(const std::string& title, const std::vector<std::string>& notes,
                       const std::vector<ScaleSummary>& scales);

}  // namespace repopt_cifar
