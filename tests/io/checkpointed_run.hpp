// A run to save and to resume: what the tests of checkpoints share.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <utility>
#include <vector>

#include "repopt/io/checkpoint.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "support/random.hpp"

namespace repopt::testing {

/// A kernel with branches, in any layout, and a bias. Their gradients depend only on the number of the step.
template <class Rule, std::floating_point T>
struct CheckpointedRun {
  ConvShape shape;
  std::vector<T> weight, bias, weight_grad, bias_grad;
  RepOptimizer<Rule, T> optimizer;

  CheckpointedRun(typename Rule::Options options, WeightLayout layout, T scale = T(0.3))
      : shape{.in_channels = 4, .out_channels = 4, .layout = layout},
        weight(shape.size(), T(0.1)),
        bias(4),
        weight_grad(shape.size()),
        bias_grad(4) {
    const ConvShape conv_1x1{.in_channels = 4, .out_channels = 4, .kernel_size = {1, 1}, .padding = {0, 0}};
    const CslaBlock<T> block(shape, {{shape, {scale, 2, T(-0.1), 1}}, {conv_1x1, T(0.7)}, Branch<T>::identity(4)});
    optimizer.add_param_group(options).add_param("conv.weight", weight, weight_grad, block);
    options.weight_decay = 0;
    optimizer.add_param_group(options).add_param("bias", bias, bias_grad);
  }

  void step(std::uint64_t number) {
    testing::Random random(number);
    // The gradient is drawn in OIHW, so it is the same in every layout.
    for_each_weight(shape, [&](const WeightIndex& w) { weight_grad[shape.offset(w)] = T(random.real(-1, 1)); });
    std::ranges::copy(random.numbers<T>(4), bias_grad.begin());
    optimizer.step();
  }
};

inline constexpr Sgd::Options nesterov{.lr = 0.1, .momentum = 0.9, .weight_decay = 4e-5, .nesterov = true};
inline constexpr AdamW::Options amsgrad{.lr = 1e-3, .betas = {0.9, 0.99}, .amsgrad = true};

/// The run's state as a checkpoint, with the kernel converted to OIHW.
template <class Rule, class T>
io::Checkpoint<T> to_checkpoint(const CheckpointedRun<Rule, T>& run) {
  ConvShape oihw = run.shape;
  oihw.layout = WeightLayout::oihw;
  std::vector<T> weight(oihw.size());
  copy_weight<T>(run.shape, run.weight, oihw, weight);
  io::Checkpoint<T> checkpoint;
  checkpoint.model["conv.weight"] = {{4, 4, 3, 3}, checkpoint.keep(std::move(weight))};
  checkpoint.model["bias"] = {{4}, run.bias};
  checkpoint.optimizer = run.optimizer.state_dict();
  checkpoint.progress = {.epoch = 1, .step = 3};
  checkpoint.random_state = {42, std::numeric_limits<std::uint64_t>::max()};
  checkpoint.options = {{"lr", "0.1"}, {"model", "cifar-small \"x\""}};
  return checkpoint;
}

/// Saves a run of one step, in float and OIHW.
template <class Rule>
void save_one_step(const typename Rule::Options& options, const std::filesystem::path& path) {
  CheckpointedRun<Rule, float> run(options, WeightLayout::oihw);
  run.step(0);
  to_checkpoint(run).save(path);
}

}  // namespace repopt::testing
