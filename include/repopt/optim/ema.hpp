// Ema: a running average of weights. It is often evaluated and saved instead of the last weights.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"

namespace repopt {

/// An exponential moving average of weights: torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay).
/// After each step average = decay * average + (1 - decay) * weight; the first update() copies the weights. The average
/// is linear in the weights, so it commutes with the Rule of Initialization: the average of kernels is the equivalent
/// kernel of the averages of their branches.
///
///     Ema<float> ema(0.999);
///     ema.add_param(weight);
///     ...
///     optimizer.step(); ema.update();
///     ...
///     ema.swap();  // the weights are the average now: evaluate, save
///     ema.swap();  // the weights are the trained ones again
template <std::floating_point T>
class Ema {
 public:
  /// Throws std::invalid_argument unless 0 <= decay < 1.
  explicit Ema(double decay) : decay_(decay) {
    require(decay >= 0 && decay < 1, "decay must be in [0, 1), it is ", decay);
  }

  /// Starts to average `weight`, a buffer of the user that must outlive this object. The average equals the weight
  /// until the first update(). Throws std::invalid_argument if `weight` overlaps a weight that is averaged already.
  void add_param(std::span<T> weight) {
    for (std::size_t i = 0; i < params_.size(); ++i)
      require(!overlap<T>(weight, params_[i].weight), "the weight of ", weight.size(),
              " elements overlaps in memory with number ", i, ", which is averaged already");
    params_.push_back({weight, {weight.begin(), weight.end()}});
  }

  /// Updates the averages with the current weights.
  void update() {
    for (Param& param : params_)
      if (started_)
        move_towards(param.weight, param.average);
      else
        std::ranges::copy(param.weight, param.average.begin());
    started_ = true;
  }

  /// Exchanges weights and averages. Call it a second time before the next update(). To continue from saved averages,
  /// copy them into the weights, call swap(), and then load the trained weights.
  void swap() {
    for (Param& param : params_) std::swap_ranges(param.average.begin(), param.average.end(), param.weight.begin());
    started_ = true;
  }

 private:
  /// torch.lerp: moves the average by the share 1 - decay of the way to the weight. It has two forms, so that decay = 0
  /// gives the weight itself, and equal numbers stay as they are.
  void move_towards(std::span<const T> weight, std::span<T> average) const {
    const T keep = T(decay_), take = T(1 - decay_);
    for (std::size_t i = 0; i < weight.size(); ++i) {
      const T way = weight[i] - average[i];
      average[i] = take < T(0.5) ? average[i] + take * way : weight[i] - keep * way;
    }
  }

  struct Param {
    std::span<T> weight;
    std::vector<T> average;
  };

  double decay_;
  bool started_ = false;  ///< whether update() or swap() has been called
  std::vector<Param> params_;
};

}  // namespace repopt
