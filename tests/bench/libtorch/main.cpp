// repopt-bench-libtorch: compares optimizer steps on the kernels of RepOpt-VGG-B1: those of repopt/optim on the
// tensors' memory, of repopt::libtorch, of torch::optim and, if LibTorch has them, fused ones. The variants take turns.
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>
#include <torch/utils.h>
#include <torch/version.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "bench.hpp"
#include "repopt/libtorch/rep_optimizer.hpp"
#include "repopt/libtorch/rep_vgg_blocks.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/optim/rep_optimizer.hpp"

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
#define REPOPT_BENCH_FUSED 1
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#else
#define REPOPT_BENCH_FUSED 0
#endif

namespace repopt_bench {

namespace {

using namespace repopt;
using torch::Tensor;
using torch::optim::AdamWOptions;
using torch::optim::SGDOptions;

constexpr double lr = 1e-3, momentum = 0.9, weight_decay = 4e-5;

/// All convolutions of a network, with gradients.
torch::nn::Sequential make_model(const nn::VggConfig& config, bool channels_last) {
  torch::nn::Sequential model;
  for (const nn::BlockSpec& spec : config.block_specs()) {
    const auto in = std::int64_t(spec.shape.in_channels), out = std::int64_t(spec.shape.out_channels);
    const auto stride = std::int64_t(spec.shape.stride[0]);
    torch::nn::Conv2d conv(torch::nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
    if (channels_last) conv->weight.set_data(conv->weight.contiguous(torch::MemoryFormat::ChannelsLast));
    conv->weight.mutable_grad() = torch::randn_like(conv->weight) * 1e-2;
    model->push_back(conv);
  }
  return model;
}

/// repopt/optim on the memory of the model's tensors.
template <class Rule>
RepOptimizer<Rule, float> core_optimizer(torch::nn::Sequential& model, const libtorch::CslaBlocks& blocks,
                                         WeightLayout layout, const typename Rule::Options& options) {
  RepOptimizer<Rule, float> optimizer;
  auto& group = optimizer.add_param_group(options);
  for (const auto& param : model->named_parameters()) {
    const auto memory = [](const Tensor& tensor) {
      return std::span(tensor.data_ptr<float>(), std::size_t(tensor.numel()));
    };
    group.add_param(param.key(), memory(param.value()), std::span<const float>(memory(param.value().grad())),
                    libtorch::block_in<float>(blocks.at(param.key()), layout));
  }
  return optimizer;
}

#if REPOPT_BENCH_FUSED
/// Tensors of zeros like the model's parameters.
std::vector<Tensor> zeros_like(const std::vector<Tensor>& params) {
  std::vector<Tensor> zeros;
  for (const Tensor& param : params) zeros.push_back(torch::zeros_like(param));
  return zeros;
}

/// The fused steps of one rule, with their state.
struct Fused {
  std::vector<Tensor> params, grads{}, first = zeros_like(params), second{}, steps{};

  explicit Fused(const std::vector<Tensor>& parameters) : params(parameters) {
    for (Tensor& param : params) grads.push_back(param.grad());
  }

  void sgd() {
    const torch::NoGradGuard no_grad;
    at::_fused_sgd_(params, grads, first, weight_decay, momentum, lr, 0, true, false, false);
  }

  void adamw() {
    const torch::NoGradGuard no_grad;
    if (second.empty()) {
      second = zeros_like(params);
      for (std::size_t i = 0; i < params.size(); ++i) steps.push_back(torch::zeros({}, torch::kFloat));
    }
    for (Tensor& step : steps) step += 1;
    at::_fused_adamw_(params, grads, first, second, {}, steps, lr, 0.9, 0.999, weight_decay, 1e-8, false, false);
  }
};
#endif

struct Variant {
  const char* rule;
  const char* by;
  std::function<void()> run;
  std::vector<double> times{};
};

void run(const Options& options) {
  torch::set_num_threads(options.threads);
  const nn::VggConfig config = nn::vgg_preset(options.model);
  const bool is_ohwi = options.layout == "ohwi";
  torch::nn::Sequential model = make_model(config, is_ohwi);
  const libtorch::CslaBlocks blocks = libtorch::rep_vgg_blocks(*model);
  const WeightLayout layout = is_ohwi ? WeightLayout::ohwi : WeightLayout::oihw;
  const auto sgd_options = SGDOptions(lr).momentum(momentum).weight_decay(weight_decay).nesterov(true);
  const auto adamw_options = AdamWOptions(lr).weight_decay(weight_decay);

  auto core_sgd = core_optimizer<Sgd>(model, blocks, layout,
                                      {.lr = lr, .momentum = momentum, .weight_decay = weight_decay, .nesterov = true});
  auto core_adamw = core_optimizer<AdamW>(model, blocks, layout, {.lr = lr, .weight_decay = weight_decay});
  libtorch::RepSgd bridge_sgd(*model, blocks, sgd_options);
  libtorch::RepAdamW bridge_adamw(*model, blocks, adamw_options);
  torch::optim::SGD torch_sgd(model->parameters(), sgd_options);
  torch::optim::AdamW torch_adamw(model->parameters(), adamw_options);
  std::vector<Variant> variants{
      {"sgd", "repopt/optim", [&] { core_sgd.step(); }},
      {"sgd", "repopt::libtorch", [&] { bridge_sgd.step(); }},
      {"sgd", "torch::optim", [&] { torch_sgd.step(); }},
      {"adamw", "repopt/optim", [&] { core_adamw.step(); }},
      {"adamw", "repopt::libtorch", [&] { bridge_adamw.step(); }},
      {"adamw", "torch::optim", [&] { torch_adamw.step(); }},
  };
#if REPOPT_BENCH_FUSED
  Fused fused_sgd(model->parameters()), fused_adamw(model->parameters());
  variants.push_back({"sgd", "at::_fused_sgd_", [&] { fused_sgd.sgd(); }});
  variants.push_back({"adamw", "at::_fused_adamw_", [&] { fused_adamw.adamw(); }});
#endif
  for (std::size_t round = 0; round <= options.rounds; ++round)
    for (Variant& variant : variants) {
      const double ms = milliseconds(variant.run);
      if (round > 0) variant.times.push_back(ms);
    }

  std::int64_t parameters = 0;
  for (const Tensor& param : model->parameters()) parameters += param.numel();
  for (const Variant& variant : variants) {
    // Times of one round are compared with each other, since the machine may be busier in the next round.
    std::vector<double> ratios;
    for (const Variant& bridge : variants)
      if (bridge.by == std::string("repopt::libtorch") && bridge.rule == std::string(variant.rule))
        for (std::size_t i = 0; i < variant.times.size(); ++i) ratios.push_back(variant.times[i] / bridge.times[i]);
    print(options, {{"bench", "libtorch"},
                    {"torch", TORCH_VERSION},
                    {"rule", variant.rule},
                    {"by", variant.by},
                    {"model", config.name},
                    {"layout", options.layout},
                    {"threads", torch::get_num_threads()},
                    {"parameters", parameters},
                    {"milliseconds_median", median(variant.times)},
                    {"time_to_bridge_median", median(ratios)}});
  }
}

}  // namespace

}  // namespace repopt_bench

int main(int argc, char** argv) {
  using namespace repopt_bench;
  CLI::App app("Measures optimizer steps on LibTorch's tensors.");
  Options options;
  options.model = "B1";
  options.layout = "oihw";
  app.add_option("--model", options.model, "preset of the network")->capture_default_str();
  app.add_option("--layout", options.layout, "oihw for contiguous kernels, ohwi for channels_last")
      ->capture_default_str()
      ->check(CLI::IsMember({"oihw", "ohwi"}));
  app.add_option("--threads", options.threads)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "number of measurements; the median is printed")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json, "print one JSON object a line");
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
