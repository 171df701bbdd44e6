// The learning curves of variants, as means over the seeds.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "charts/chart.hpp"
#include "study/records.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

/// A variant's curve: its mean test accuracy in %, over epochs or seconds.
struct VariantCurve {
  const Variant* variant;
  const Group* group;  ///< the runs behind the curve
  Chart::Points points;
};

/// Returns the curves of these variants, each with its best learning rate. Variants without a curve are left out. x is
/// epoch * step(group).
std::vector<VariantCurve> curves_of(const std::vector<std::string_view>& variants, const ModelSummary& summary,
                                    const Records& records, const std::function<double(const Group&)>& step);

/// Returns the lowest accuracy of the curves after their first third, or 100 if there are none. Earlier points would
/// squeeze the ends of the curves together.
double lowest_shown(const std::vector<VariantCurve>& curves);

}  // namespace repopt_cifar::study
