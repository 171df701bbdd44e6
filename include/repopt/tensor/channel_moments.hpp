// ChannelMoments: mean and variance of each channel of a tensor, gathered block by block and merged.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "repopt/base/parallel.hpp"
#include "repopt/tensor/channel_sums.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Replaces each value by its sum over all processes that share a batch; every one of them calls it, in one order.
using AllReduce = std::function<void(std::span<double> values)>;

/// Number, mean and sum of squared deviations of each channel, by Chan's merging formula: no cancellation, one pass
/// over memory, and the same result for any number of threads.
class ChannelMoments {
 public:
  /// Number of values of each channel, and their mean.
  /// @{
  std::size_t count() const { return count_; }
  double mean(std::size_t channel) const { return mean_[channel]; }
  /// @}

  /// Biased variance: divided by count().
  double variance(std::size_t channel) const { return deviation_[channel] / double(count_); }

  /// Becomes the moments of `rows` pixels of `channels` values at `data`; meant for blocks that the cache holds.
  template <class T>
  void measure_block(const T* data, std::size_t rows, std::size_t channels) {
    namespace packet = Eigen::internal;
    thread_local std::vector<T> memory;
    memory.resize(2 * channels);
    auto [mean, deviation] = channel_maps(memory.data(), channels, std::make_index_sequence<2>());
    sum_pixels<1>(0, rows, channels, mean.data(), [=]<class Packet>(std::size_t row, std::size_t c, Packet* sum) {
      *sum = packet::padd(*sum, packet::ploadu<Packet>(data + row * channels + c));
    });
    mean /= T(rows);
    const T* const means = mean.data();
    sum_pixels<1>(0, rows, channels, deviation.data(), [=]<class Packet>(std::size_t row, std::size_t c, Packet* sum) {
      const Packet step =
          packet::psub(packet::ploadu<Packet>(data + row * channels + c), packet::ploadu<Packet>(means + c));
      *sum = packet::pmadd(step, step, *sum);
    });
    count_ = rows;
    mean_.assign(mean.begin(), mean.end());
    deviation_.assign(deviation.begin(), deviation.end());
  }

  /// Becomes the moments of a whole tensor.
  template <class T>
  void measure(const Tensor<T>& x);

  /// Of no values again; keeps its memory.
  void clear() { count_ = 0; }

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

 private:
  std::size_t count_ = 0;
  std::vector<double> mean_, deviation_;
};

/// The moments of a tensor's blocks: measured in any order, by any threads, and merged in the order of the blocks.
class BlockMoments {
 public:
  /// Of `count` blocks, for `total`; where that is nullptr, nothing is measured. The memory is the calling thread's, so
  /// that it has one of these at a time.
  BlockMoments(ChannelMoments* total, std::size_t count) : total_(total) {
    thread_local std::vector<ChannelMoments> memory;
    if (!total) return;
    if (memory.size() < count) memory.resize(count);
    blocks_ = std::span(memory).first(count);
  }

  /// As ChannelMoments::measure_block(), for a block of which nobody else speaks.
  template <class T>
  void measure(std::size_t block, const T* data, std::size_t rows, std::size_t channels) const {
    if (total_) blocks_[block].measure_block(data, rows, channels);
  }

  /// Makes `total` the moments of all blocks.
  void merge() const {
    if (!total_) return;
    total_->clear();
    for (const ChannelMoments& block : blocks_) total_->merge(block);
  }

 private:
  ChannelMoments* total_;
  std::span<ChannelMoments> blocks_;
};

template <class T>
void ChannelMoments::measure(const Tensor<T>& x) {
  constexpr std::size_t rows_per_block = 128;
  const std::size_t pixels = x.shape().pixels(), count = (pixels + rows_per_block - 1) / rows_per_block;
  const BlockMoments blocks(this, count);
  parallel_for(count, x.size(), [&](std::size_t block) {
    const std::size_t first = block * rows_per_block;
    blocks.measure(block, x.pixel(first), std::min(rows_per_block, pixels - first), x.shape().channels);
  });
  blocks.merge();
}

}  // namespace repopt::nn
