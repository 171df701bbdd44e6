// Calibration: chooses the range of an activation that its levels should cover, from its values on some images.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/quant/quantization.hpp"

namespace repopt::quant {

/// The ways to choose a range. A narrower range has finer levels, and clips more values.
enum class Calibration {
  min_max,     ///< covers all values that were seen
  percentile,  ///< covers all values but the tails
  mse,         ///< has the least mean squared error
  entropy,     ///< has the least Kullback-Leibler divergence between the values' distribution and the quantized one
};

/// The name of a calibration, e.g. "min-max".
constexpr std::string_view to_string(Calibration calibration) {
  constexpr std::string_view names[] = {"min-max", "percentile", "mse", "entropy"};
  return names[std::size_t(calibration)];
}

/// The range [low, high], which contains 0.
struct Range {
  /// The ends of the range.
  /// @{
  double low = 0, high = 0;
  /// @}

  /// Extends the range so that it contains x. Throws std::invalid_argument unless x is finite.
  void include(double x) {
    require(std::isfinite(x), "an activation is ", x);
    low = std::min(low, x);
    high = std::max(high, x);
  }
};

/// Counts how often an activation fell into each of 2048 equal bins of a range. The bins do not count zeros, of which
/// ReLU makes many, because every quantization represents them exactly.
class Histogram {
 public:
  static constexpr std::size_t bins = 2048;  ///< number of bins

  /// A histogram without values. Values outside `range` will be counted in its first or last bin.
  explicit Histogram(const Range& range) : range_(range), width_((range.high - range.low) / double(bins)) {}

  /// Counts a value. Throws std::invalid_argument unless it is finite.
  void add(double x) {
    require(std::isfinite(x), "an activation is ", x);
    ++total_;
    if (x == 0) return;
    const double bin = width_ > 0 ? std::floor((x - range_.low) / width_) : 0;
    ++counts_[std::size_t(std::clamp(bin, 0.0, double(bins - 1)))];
  }

  /// The range, as given to the constructor.
  const Range& range() const { return range_; }

  /// The number of values in each bin, (bins), without zeros.
  const std::vector<std::size_t>& counts() const { return counts_; }

  /// The number of all values, zeros included.
  std::size_t total() const { return total_; }

  /// The lower edge of a bin, and its center.
  /// @{
  double edge(std::size_t bin) const { return range_.low + width_ * double(bin); }
  double center(std::size_t bin) const { return edge(bin) + width_ / 2; }
  /// @}

  /// The number of values outside `range`. A value counts as the center of its bin.
  std::size_t outside(const Range& range) const {
    std::size_t count = 0;
    for (std::size_t bin = 0; bin < bins; ++bin)
      if (center(bin) < range.low || center(bin) > range.high) count += counts_[bin];
    return count;
  }

 private:
  Range range_;
  double width_;
  std::vector<std::size_t> counts_ = std::vector<std::size_t>(bins);
  std::size_t total_ = 0;
};

namespace detail {

/// The histogram's range without its lower and upper tail. Each tail has at most the share `tail` of all values.
inline Range without_tails(const Histogram& histogram, double tail) {
  Range range = histogram.range();
  const auto count = [&](std::size_t bin) { return double(histogram.counts()[bin]); };
  double left = tail * double(histogram.total());
  for (std::size_t bin = Histogram::bins; bin-- > 0 && histogram.edge(bin) > 0 && (left -= count(bin)) >= 0;)
    range.high = histogram.edge(bin);
  left = tail * double(histogram.total());
  for (std::size_t bin = 0; bin < Histogram::bins && histogram.edge(bin + 1) < 0 && (left -= count(bin)) >= 0; ++bin)
    range.low = histogram.edge(bin + 1);
  return range;
}

/// The sum of squared errors of quantizing all values to `levels` levels in `range`. A value inside has the mean error
/// of rounding, step^2 / 12; a value outside has the squared distance to the nearer end.
inline double squared_error(const Histogram& histogram, const Range& range, std::size_t levels) {
  const double step = (range.high - range.low) / double(levels - 1);
  double error = 0;
  for (std::size_t bin = 0; bin < Histogram::bins; ++bin) {
    const double x = histogram.center(bin), clipped = x - std::clamp(x, range.low, range.high);
    error += double(histogram.counts()[bin]) * (clipped == 0 ? step * step / 12 : clipped * clipped);
  }
  return error;
}

/// The divergence sum p log(p / q). p is the distribution of the values, with those outside `range` moved to its ends.
/// q is its quantization: the values inside `range`, spread evenly over the occupied bins of each of `levels`
/// levels.
inline double divergence(const Histogram& histogram, const Range& range, std::size_t levels) {
  std::size_t first = 0, last = Histogram::bins;
  while (first + 1 < last && histogram.center(first) < range.low) ++first;
  while (last - 1 > first && histogram.center(last - 1) > range.high) --last;
  std::vector<double> p(histogram.counts().begin() + std::ptrdiff_t(first),
                        histogram.counts().begin() + std::ptrdiff_t(last));
  std::vector<double> q(p.size());
  for (std::size_t level = 0; level < levels; ++level) {
    const std::size_t begin = level * p.size() / levels, end = (level + 1) * p.size() / levels;
    double sum = 0, occupied = 0;
    for (std::size_t k = begin; k < end; ++k) {
      sum += p[k];
      occupied += p[k] > 0;
    }
    for (std::size_t k = begin; k < end; ++k) q[k] = p[k] > 0 ? sum / occupied : 0;
  }
  const auto counts = std::span(histogram.counts());
  const auto sum = [](auto part) { return double(std::accumulate(part.begin(), part.end(), std::size_t(0))); };
  p.front() += sum(counts.first(first));
  p.back() += sum(counts.subspan(last));
  const double p_total = std::accumulate(p.begin(), p.end(), 0.0), q_total = std::accumulate(q.begin(), q.end(), 0.0);
  constexpr double nothing = 1e-9;  // q's least probability: values moved to an end may make p > 0 where q = 0
  double result = 0;
  for (std::size_t k = 0; k < p.size(); ++k)
    if (p[k] > 0)
      result += p[k] / p_total * std::log(p[k] / p_total / std::max(q[k] / std::max(q_total, 1.0), nothing));
  return result;
}

/// Shrinks the histogram's range towards zero step by step, and returns the range with the least `cost` for so many
/// levels. If several have it, returns the widest.
Range best_range(const Histogram& histogram, std::size_t levels, auto cost) {
  constexpr int steps = 256;
  // The narrowest range has one bin for each level.
  const int least = std::max(1, steps * int(levels) / int(Histogram::bins));
  Range best = histogram.range();
  double best_cost = std::numeric_limits<double>::infinity();
  for (int step = steps; step >= least; --step) {
    const double factor = double(step) / steps;
    const Range range{histogram.range().low * factor, histogram.range().high * factor};
    if (const double range_cost = cost(histogram, range, levels); range_cost < best_cost) {
      best = range;
      best_cost = range_cost;
    }
  }
  return best;
}

}  // namespace detail

/// The percentile that keeps all but one in ten thousand values on each side.
inline constexpr double default_percentile = 99.99;

/// The range that `calibration` chooses for 2^bits levels. Calibration::percentile cuts at most 100 - percentile per
/// cent of the values off each end. Throws std::invalid_argument if the histogram is empty or unless 50 < percentile <=
/// 100 and 2 <= bits <= 8.
inline Range calibrated_range(const Histogram& histogram, Calibration calibration,
                              double percentile = default_percentile, int bits = 8) {
  require_bits("activations", bits);
  require(histogram.total() > 0, "there are no values to calibrate with");
  require(percentile > 50 && percentile <= 100, "percentile must be in (50, 100], it is ", percentile);
  const std::size_t levels = std::size_t(1) << bits;
  switch (calibration) {
    case Calibration::percentile: return detail::without_tails(histogram, 1 - percentile / 100);
    case Calibration::mse: return detail::best_range(histogram, levels, detail::squared_error);
    case Calibration::entropy: return detail::best_range(histogram, levels, detail::divergence);
    case Calibration::min_max: break;
  }
  return histogram.range();
}

}  // namespace repopt::quant
