#include "charts/scale_summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace repopt_cifar {

std::vector<ScaleSummary> summarize(const repopt::Scales<double>& scales) {
  std::vector<ScaleSummary> summaries;
  for (const auto& [name, values] : scales) {
    constexpr double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    ScaleSummary summary{.name = name, .length = values.size(), .mean = 0, .min = infinity, .max = -infinity};
    for (const double value : values) {
      if (!std::isfinite(value)) {
        ++summary.not_finite;
        continue;
      }
      summary.mean += value;
      summary.min = std::min(summary.min, value);
      summary.max = std::max(summary.max, value);
      summary.negative += value < 0;
    }
    if (summary.not_finite == summary.length) summary.min = summary.max = nan;
    summary.mean /= double(summary.length - summary.not_finite);
    summaries.push_back(summary);
  }
  return summaries;
}

}  // namespace repopt_cifar
