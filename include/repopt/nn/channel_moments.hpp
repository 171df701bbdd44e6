// ChannelMoments: mean and variance of each channel of a tensor, gathered block by block and merged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "repopt/core/parallel.hpp"
#include "repopt/nn/tensor.hpp"

namespace repopt::nn {

/// Replaces each value by its sum over all processes that share a batch; every one of them calls it, in one order.
using AllReduce = std::function<void(std::span<double> values)>;

/// Number, mean and sum of squared deviations of each channel, by Chan's merging formula: no cancellation, one pass
/// over memory, and the same result for any number of threads.
class ChannelMoments {
 public:
  ChannelMoments() = default;
  /// Of no values yet.
  explicit ChannelMoments(std::size_t channels) : mean_(channels), deviation_(channels) {}

  /// Number of values of each channel, and their mean.
  /// @{
  std::size_t count() const { return count_; }
  double mean(std::size_t channel) const { return mean_[channel]; }
  /// @}

  /// Biased variance: divided by count().
  double variance(std::size_t channel) const { return deviation_[channel] / double(count_); }

  /// Moments of `rows` pixels of `channels` values at `data`; meant for blocks that the cache holds.
  template <class T>
  static ChannelMoments of_block(const T* data, std::size_t rows, std::size_t channels) {
    const auto block = matrix(data, rows, channels, channels);
    thread_local Vector<T> mean, deviation;
    mean.setZero(Eigen::Index(channels));
    for (Eigen::Index row = 0; row < block.rows(); ++row) mean += block.row(row).transpose().array();
    mean /= T(rows);
    deviation.setZero(Eigen::Index(channels));
    for (Eigen::Index row = 0; row < block.rows(); ++row)
      deviation += (block.row(row).transpose().array() - mean).square();
    ChannelMoments moments(channels);
    moments.count_ = rows;
    for (std::size_t c = 0; c < channels; ++c) {
      moments.mean_[c] = double(mean[Eigen::Index(c)]);
      moments.deviation_[c] = double(deviation[Eigen::Index(c)]);
    }
    return moments;
  }

  /// Adds the values that `other` was gathered from.
  void merge(const ChannelMoments& other) {
    if (count_ == 0) {
      *this = other;
      return;
    }
    const double total = double(count_ + other.count_), share = double(other.count_) / total;
    for (std::size_t c = 0; c < mean_.size(); ++c) {
      const double step = other.mean_[c] - mean_[c];
      mean_[c] += step * share;
      deviation_[c] += other.deviation_[c] + step * step * share * double(count_);
    }
    count_ += other.count_;
  }

  /// All parts, merged in order.
  static ChannelMoments merged(const std::vector<ChannelMoments>& parts) {
    ChannelMoments total;
    for (const ChannelMoments& part : parts) total.merge(part);
    return total;
  }

  /// The moments of the whole batch, from those of each process's part of it. Deviations are taken from the mean of
  /// all, so that nothing cancels: two reductions, of one value for each channel.
  ChannelMoments over_processes(const AllReduce& all_reduce) const {
    ChannelMoments total = *this;
    total.mean_.push_back(1);
    for (double& sum : total.mean_) sum *= double(count_);
    all_reduce(total.mean_);
    const double count = total.mean_.back();
    total.mean_.pop_back();
    for (std::size_t c = 0; c < total.mean_.size(); ++c) {
      total.mean_[c] /= count;
      const double step = mean_[c] - total.mean_[c];
      total.deviation_[c] += step * step * double(count_);
    }
    all_reduce(total.deviation_);
    total.count_ = std::size_t(count);
    return total;
  }

  /// Moments of a whole tensor.
  template <class T>
  static ChannelMoments of(const Tensor<T>& x) {
    constexpr std::size_t rows_per_block = 128;
    const std::size_t pixels = x.shape().pixels();
    std::vector<ChannelMoments> parts((pixels + rows_per_block - 1) / rows_per_block);
    parallel_for(parts.size(), x.size(), [&](std::size_t part) {
      const std::size_t first = part * rows_per_block;
      parts[part] = of_block(x.pixel(first), std::min(rows_per_block, pixels - first), x.shape().channels);
    });
    return merged(parts);
  }

 private:
  std::size_t count_ = 0;
  std::vector<double> mean_, deviation_;
};

}  // namespace repopt::nn
