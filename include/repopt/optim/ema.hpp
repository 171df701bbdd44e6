// Ema: a running average of weights, to evaluate and keep instead of the last ones.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/overlap.hpp"

namespace repopt {

/// torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay): average = decay * average + (1 - decay) *
/// weight after each step; the first update() copies. Linear in the weights, so it commutes with the Rule of
/// Initialization: the average of kernels is the equivalent kernel of the averages of their branches.
///
///     Ema<float> ema(0.999);
///     ema.add_param(weight);
///     ...
///     optimizer.step(); ema.update();
///     ...
///     ema.swap();  // the weights are the average now: evaluate, save
///     ema.swap();  // and what the optimizer trains again
template <std::floating_point T>
class Ema {
 public:
  /// Throws std::invalid_argument unless 0 <= decay < 1.
  explicit Ema(double decay) : decay_(decay) {
    require(decay >= 0 && decay < 1, "decay must be in [0, 1), it is ", decay);
  }

  /// Averages `weight`, which stays the user's and must outlive this. Its average is the weight itself until update().
  /// Throws std::invalid_argument if it overlaps a weight that is averaged already.
  void add_param(std::span<T> weight) {
    for (std::size_t i = 0; i < params_.size(); ++i)
      require(!overlap<T>(weight, params_[i].weight), "the weight of ", weight.size(),
              " elements overlaps in memory with number ", i, ", which is averaged already");
    params_.push_back({weight, {weight.begin(), weight.end()}});
  }

  /// Takes the weights as they are now into the average.
  void update() {
    const T keep = started_ ? T(decay_) : T(0), take = T(1) - keep;
    for (Param& param : params_)
      for (std::size_t i = 0; i < param.weight.size(); ++i)
        param.average[i] = keep * param.average[i] + take * param.weight[i];
    started_ = true;
  }

  /// Exchanges weights and averages; no update() until they are exchanged again. To go on from saved averages, put them
  /// into the weights and swap.
  void swap() {
    for (Param& param : params_) std::swap_ranges(param.average.begin(), param.average.end(), param.weight.begin());
    started_ = true;
  }

 private:
  struct Param {
    std::span<T> weight;
    std::vector<T> average;
  };

  double decay_;
  bool started_ = false;  ///< whether the averages are more than the weights that add_param() saw
  std::vector<Param> params_;
};

}  // namespace repopt
