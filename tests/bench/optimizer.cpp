// `repopt-bench optimizer`: compares optimizer steps that generate their multipliers with a plain fused step, with a
// dense multiplier, and with the memory traffic alone. The variants take turns.
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "bench.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/repopt.hpp"

namespace repopt_bench {

namespace {

using namespace repopt;
using namespace repopt::nn;

/// A kernel, and every array that one of the variants reads or writes.
struct Kernel {
  CslaBlock<float> block;
  std::vector<float> weight, grad, buffer, second, dense;
};

std::vector<Kernel> make_kernels(const VggConfig& config, WeightLayout layout) {
  const Scales<float> scales = nn::sqrt_scales<float>(config);
  std::vector<Kernel> kernels;
  for (BlockSpec spec : config.block_specs()) {
    spec.shape.layout = layout;
    Kernel kernel{prior_block<float>(spec, scales), {}, {}, {}, {}, {}};
    const std::size_t size = spec.shape.size();
    for (std::vector<float>* values : {&kernel.weight, &kernel.grad, &kernel.buffer, &kernel.second})
      values->assign(size, 0.01f);
    kernel.dense = GradMult<float>(kernel.block).dense();
    kernels.push_back(std::move(kernel));
  }
  return kernels;
}

constexpr float lr = 1e-3f, momentum = 0.9f, weight_decay = 4e-5f;

/// Calls visit(begin, end) for parts of a kernel, in parallel.
void for_each_part(const Kernel& kernel, auto visit) {
  constexpr std::size_t part = 1 << 14;
  const std::size_t size = kernel.weight.size();
  parallel_for((size + part - 1) / part, size, [&](std::size_t i) { visit(i * part, std::min(size, (i + 1) * part)); });
}

/// SGD with Nesterov's momentum in one plain loop, without a multiplier or with a dense one.
template <bool dense>
void fused_sgd(std::vector<Kernel>& kernels) {
  for (Kernel& kernel : kernels)
    for_each_part(kernel, [&](std::size_t begin, std::size_t end) {
      float* __restrict w = kernel.weight.data();
      float* __restrict b = kernel.buffer.data();
      const float* __restrict g = kernel.grad.data(), * __restrict m = kernel.dense.data();
      for (std::size_t k = begin; k < end; ++k) {
        const float d = (dense ? m[k] * g[k] : g[k]) + weight_decay * w[k];
        b[k] = momentum * b[k] + d;
        w[k] -= lr * (d + momentum * b[k]);
      }
    });
}

/// The memory traffic of SGD with momentum: reads three arrays and writes two. With `second`, AdamW's: four and three.
template <bool second>
void stream(std::vector<Kernel>& kernels) {
  for (Kernel& kernel : kernels)
    for_each_part(kernel, [&](std::size_t begin, std::size_t end) {
      float* __restrict w = kernel.weight.data();
      float* __restrict b = kernel.buffer.data();
      float* __restrict v = kernel.second.data();
      const float* __restrict g = kernel.grad.data();
      for (std::size_t k = begin; k < end; ++k) {
        w[k] += g[k];
        b[k] += g[k];
        if (second) v[k] += g[k];
      }
    });
}

template <class Rule>
RepOptimizer<Rule, float> make_optimizer(std::vector<Kernel>& kernels, const typename Rule::Options& options) {
  RepOptimizer<Rule, float> optimizer;
  auto& group = optimizer.add_param_group(options);
  for (std::size_t i = 0; i < kernels.size(); ++i)
    group.add_param(std::to_string(i), kernels[i].weight, kernels[i].grad, kernels[i].block);
  return optimizer;
}

/// Branches trained folded: what an iteration costs beside the plain network's forward and backward pass.
class FoldedKernels {
 public:
  FoldedKernels(std::vector<Kernel>& kernels, bool train_scales) {
    auto& decayed =
        optimizer_.add_param_group({.lr = lr, .momentum = momentum, .weight_decay = weight_decay, .nesterov = true});
    auto& others = optimizer_.add_param_group({.lr = lr, .momentum = momentum, .nesterov = true});
    for (Kernel& kernel : kernels) {
      auto& [to, folded] =
          folded_.emplace_back(&kernel, FoldedKernel<float>(kernel.block, {.train_scales = train_scales}));
      folded.visit_parameters([&](const std::string& name, auto value, auto grad, bool decays) {
        (decays ? decayed : others).add_param(concat(folded_.size(), ".", name), value, grad);
      });
    }
  }

  void step() {
    for (auto& [kernel, folded] : folded_) folded.fold(kernel->weight);
    for (auto& [kernel, folded] : folded_) {
      folded.zero_grad();
      folded.add_gradients(kernel->grad);
    }
    optimizer_.step();
  }

 private:
  std::vector<std::pair<Kernel*, FoldedKernel<float>>> folded_;
  RepSgd<float> optimizer_;
};

/// Milliseconds of fold() and add_gradients() for a 3x3 kernel that stands for 1x1-then-3x3.
double sequence_milliseconds(std::size_t channels, std::size_t rounds) {
  const auto square = [&](std::size_t size) {
    return ConvShape{.in_channels = channels,
                     .out_channels = channels,
                     .kernel_size = {size, size},
                     .padding = {size / 2, size / 2},
                     .layout = WeightLayout::hwio};
  };
  FoldedKernel<float> folded(square(3), {FoldedBranch<float>::sequence(square(1), square(3), 1)});
  for (const auto& parameter : folded.parameters()) fill_random(parameter.value);
  std::vector<float> kernel(square(3).size()), grad(kernel.size());
  fill_random(grad);
  std::vector<double> times;
  for (std::size_t round = 0; round < rounds; ++round)
    times.push_back(milliseconds([&] {
      folded.fold(kernel);
      folded.zero_grad();
      folded.add_gradients(grad);
    }));
  return median(times);
}

}  // namespace

void bench_optimizer(const Options& options) {
  const VggConfig config = vgg_preset(options.model.empty() ? "B1" : options.model);
  const WeightLayout layout = options.layout == "oihw"   ? WeightLayout::oihw
                              : options.layout == "ohwi" ? WeightLayout::ohwi
                                                         : WeightLayout::hwio;
  std::vector<Kernel> kernels = make_kernels(config, layout);
  auto rep_sgd =
      make_optimizer<Sgd>(kernels, {.lr = lr, .momentum = momentum, .weight_decay = weight_decay, .nesterov = true});
  auto rep_adamw = make_optimizer<AdamW>(kernels, {.lr = lr, .weight_decay = weight_decay});
  FoldedKernels folded(kernels, false), search(kernels, true);
  double parameters = 0;
  for (const Kernel& kernel : kernels) parameters += double(kernel.weight.size());

  struct Variant {
    const char* name;
    double bytes;  ///< memory traffic for each parameter
    std::function<void()> run;
    std::vector<double> times{};
  };
  std::vector<Variant> variants{{"stream, read 3 write 2", 20, [&] { stream<false>(kernels); }},
                                {"plain fused SGD", 20, [&] { fused_sgd<false>(kernels); }},
                                {"fused SGD, dense GradMult", 24, [&] { fused_sgd<true>(kernels); }},
                                {"RepSgd", 20, [&] { rep_sgd.step(); }},
                                {"stream, read 4 write 3", 28, [&] { stream<true>(kernels); }},
                                {"RepAdamW", 28, [&] { rep_adamw.step(); }},
                                {"folded SGD, constant scales", 48, [&] { folded.step(); }},
                                {"folded SGD, trained scales", 52, [&] { search.step(); }}};
  for (std::size_t round = 0; round <= options.rounds; ++round)
    for (Variant& variant : variants) {
      const double ms = milliseconds(variant.run);
      if (round > 0) variant.times.push_back(ms);
    }
  for (const Variant& variant : variants) {
    const double ms = median(variant.times);
    print(options, {{"bench", "optimizer"},
                    {"variant", variant.name},
                    {"model", config.name},
                    {"layout", options.layout},
                    {"threads", thread_count()},
                    {"parameters", parameters},
                    {"milliseconds_median", ms},
                    {"gigabytes_per_second", 1e-6 * variant.bytes * parameters / ms}});
  }
  for (const std::size_t channels : {std::size_t(64), std::size_t(512)})
    print(options, {{"bench", "optimizer"},
                    {"variant", "fold and gradients of 1x1-3x3"},
                    {"channels", channels},
                    {"threads", thread_count()},
                    {"milliseconds_median", sequence_milliseconds(channels, options.rounds)}});
}

}  // namespace repopt_bench
