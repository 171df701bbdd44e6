// ChannelMoments: the mean and variance of each channel of a tensor, measured block by block and merged.
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

/// A function that replaces each value by its sum over all processes that share a batch. Every process must call it,
/// and all in the same order.
using AllReduce = std::function<void(std::span<double> values)>;

/// The number of values, and each channel's mean and sum of squared deviations. Blocks are merged by Chan's formula:
/// nothing cancels, each value is read from memory once, and the result is the same for any number of threads.
class ChannelMoments {
 public:
  /// The number of values of a channel, and their mean.
  /// @{
  std::size_t count() const { return count_; }
  double mean(std::size_t channel) const { return mean_[channel]; }
  /// @}

  /// The biased variance: the sum of squared deviations, divided by count().
  double variance(std::size_t channel) const { return deviation_[channel] / double(count_); }

  /// Measures `rows` pixels of `channels` values at `data`. It reads them twice, so they should fit a cache.
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

  /// Measures a whole tensor, in parallel.
  template <class T>
  void measure(const Tensor<T>& x);

  /// Forgets all values and keeps the memory.
  void clear() { count_ = 0; }

  /// Adds the values that `other` has measured.
  void merge(const ChannelMoments& other) {
    if (other.count_ == 0) return;
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

  /// The moments of the whole batch, computed from the moments of each process's part, which may be empty. Deviations
  /// are taken from the mean of the whole batch, so that nothing cancels. That takes two reductions: of channels + 1
  /// values, then of channels.
  ChannelMoments over_processes(const AllReduce& all_reduce, std::size_t channels) const {
    ChannelMoments own = *this;
    if (count_ == 0) {
      own.mean_.assign(channels, 0);
      own.deviation_.assign(channels, 0);
    }
    ChannelMoments total = own;
    total.mean_.push_back(1);
    for (double& sum : total.mean_) sum *= double(count_);
    all_reduce(total.mean_);
    const double count = total.mean_.back();
    total.mean_.pop_back();
    for (std::size_t c = 0; c < channels; ++c) {
      total.mean_[c] /= count;
      const double step = own.mean_[c] - total.mean_[c];
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

/// The moments of a tensor's blocks. Threads may measure the blocks in any order; they are merged in the order of the
/// blocks.
class BlockMoments {
 public:
  /// Prepares `count` blocks that will be merged into `total`. If `total` is null, nothing is measured. The memory
  /// belongs to the calling thread, so a thread can use only one object at a time.
  BlockMoments(ChannelMoments* total, std::size_t count) : total_(total) {
    thread_local std::vector<ChannelMoments> memory;
    if (!total) return;
    if (memory.size() < count) memory.resize(count);
    blocks_ = std::span(memory).first(count);
  }

  /// Calls ChannelMoments::measure_block() for block `block`. Each block must be measured by one thread only.
  template <class T>
  void measure(std::size_t block, const T* data, std::size_t rows, std::size_t channels) const {
    if (total_) blocks_[block].measure_block(data, rows, channels);
  }

  /// Sets `total` to the moments of all blocks.
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
  // Pixels. Fewer: more blocks to merge. More: the second pass over a block misses the cache, and there are fewer
  // blocks for threads to share. With 64 channels in float a block has 32 KiB. Rounding depends on it.
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
