#include "study/variant_curves.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace repopt_cifar::study {

namespace {

/// Returns the mean test accuracy in % after each epoch, over the seeds that have a curve.
std::vector<double> mean_curve(const Group& group, const Records& records) {
  std::vector<double> sums(group.key().epochs);
  std::size_t count = 0;
  for (const RunResult& run : group.runs()) {
    const std::vector<CurvePoint>& curve = records.of(run.key.name()).curve;
    if (curve.size() != sums.size()) continue;
    ++count;
    for (const CurvePoint& point : curve) sums[point.epoch - 1] += 100 * point.test_accuracy;
  }
  if (count == 0) return {};
  for (double& sum : sums) sum /= double(count);
  return sums;
}

}  // namespace

std::vector<VariantCurve> curves_of(const std::vector<std::string_view>& variants, const ModelSummary& summary,
                                    const Records& records, const std::function<double(const Group&)>& step) {
  std::vector<VariantCurve> curves;
  for (const std::string_view name : variants) {
    const Group* const group = summary.best(name, summary.usual_epochs());
    if (!group) continue;
    Chart::Points points;
    for (const double accuracy : mean_curve(*group, records))
      points.emplace_back(step(*group) * double(points.size() + 1), accuracy);
    if (!points.empty()) curves.push_back({&find_variant(name), group, std::move(points)});
  }
  return curves;
}

double lowest_shown(const std::vector<VariantCurve>& curves) {
  double low = 100;
  for (const VariantCurve& curve : curves)
    for (std::size_t i = curve.points.size() / 3; i < curve.points.size(); ++i)
      low = std::min(low, curve.points[i].second);
  return low;
}

}  // namespace repopt_cifar::study
