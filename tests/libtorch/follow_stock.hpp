// follow_stock: stock torch::optim trains a network with the real branches, a RepOptimizer trains the plain network on
// the same pictures, and the result is how far the two differ.
#pragma once

// LibTorch's headers must come before doctest's: both define CHECK, and the tests need doctest's.
#include <torch/nn/init.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/schedulers/step_lr.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "libtorch/net_blocks.hpp"
#include "repopt/libtorch/initialize.hpp"
#include "repopt/libtorch/rep_optimizer.hpp"
#include "support/relative_error.hpp"

namespace repopt::libtorch::testing {

namespace torch_nn = torch::nn;

/// The device that networks are trained on: the CPU unless REPOPT_LIBTORCH_DEVICE names another one, such as cuda.
inline torch::Device test_device() {
  const char* const name = std::getenv("REPOPT_LIBTORCH_DEVICE");
  return name ? torch::Device(name) : torch::Device(torch::kCPU);
}

inline torch_nn::Conv2d make_conv(const ConvShape& shape) {
  const auto pair = [](const std::array<std::size_t, 2>& sizes) {
    return torch::ExpandingArray<2>({std::int64_t(sizes[0]), std::int64_t(sizes[1])});
  };
  return torch_nn::Conv2d(torch_nn::Conv2dOptions(std::int64_t(shape.in_channels), std::int64_t(shape.out_channels),
                                                  pair(shape.kernel_size))
                              .stride(pair(shape.stride))
                              .padding(pair(shape.padding))
                              .dilation(pair(shape.dilation))
                              .groups(std::int64_t(shape.groups))
                              .bias(false));
}

/// y = sum_i s_i * conv_i(x). Each branch is a module of its own. Its scale is a constant or, if `trains_scales` and
/// the branch is not an identity, a parameter "scale0" and so on.
struct CslaConv : torch_nn::Module {
  std::vector<torch_nn::Conv2d> convs;
  std::vector<Tensor> scales;

  explicit CslaConv(const CslaBlock<double>& block, bool trains_scales = false) {
    for (const Branch<double>& branch : block.branches()) {
      const std::string number = std::to_string(convs.size());
      convs.push_back(register_module(number, make_conv(branch.shape)));
      const Tensor scale = torch::tensor(branch.scale, torch::kDouble);
      const bool is_trained = trains_scales && !branch.is_identity;
      scales.push_back(is_trained ? register_parameter("scale" + number, scale) : scale);
    }
  }

  Tensor forward(const Tensor& x) {
    Tensor y = torch::zeros({}, x.options());
    for (std::size_t i = 0; i < convs.size(); ++i) y = y + scales[i].to(x.options()).view({1, -1, 1, 1}) * convs[i](x);
    return y;
  }
};

/// One layer for each block, followed by batch norm and ReLU; at the end the mean over the picture and a classifier.
/// Layers have the names of the blocks. If `csla`, each layer is a CSLA block, with trained scales if `trains_scales`.
/// Otherwise it is a plain convolution, or a Linear if the kernel is 1x1.
struct Net : torch_nn::Module {
  std::vector<std::function<Tensor(Tensor)>> layers;
  std::vector<torch_nn::BatchNorm2d> norms;
  torch_nn::Linear head{nullptr};

  Net(const CslaBlocks& blocks, bool csla, bool trains_scales = false) {
    std::size_t channels = 0;
    for (const auto& [kernel, block] : blocks) {
      const std::string name = kernel.substr(0, kernel.find('.'));
      channels = block.target().out_channels;
      if (csla) {
        const auto conv = register_module(name, std::make_shared<CslaConv>(block, trains_scales));
        layers.push_back([conv](const Tensor& x) { return conv->forward(x); });
      } else if (block.target().taps() > 1) {
        torch_nn::Conv2d conv = register_module(name, make_conv(block.target()));
        layers.push_back([conv](const Tensor& x) mutable { return conv(x); });
      } else {
        const auto in = std::int64_t(block.target().in_channels), out = std::int64_t(channels);
        torch_nn::Linear linear = register_module(name, torch_nn::Linear(torch_nn::LinearOptions(in, out).bias(false)));
        layers.push_back([linear](const Tensor& x) mutable {
          return linear(x.permute({0, 2, 3, 1})).permute({0, 3, 1, 2});
        });
      }
      norms.push_back(register_module("bn_" + name, torch_nn::BatchNorm2d(std::int64_t(channels))));
    }
    head = register_module("head", torch_nn::Linear(std::int64_t(channels), 4));
  }

  Tensor forward(Tensor x) {
    for (std::size_t i = 0; i < layers.size(); ++i) x = norms[i](layers[i](x)).relu();
    return head(x.mean({2, 3}));
  }
};

/// A net's parameters in two groups: those of more than one dimension with `options`, the others without weight decay.
/// If `reversed`, each group is in the reverse order.
template <class Optimizer, class Options>
std::vector<typename Optimizer::ParamGroup> rep_groups(const Net& net, const Options& options, bool reversed = false) {
  std::vector<typename Optimizer::ParamGroup> groups{{.options = options},
                                                     {.options = Options(options).weight_decay(0)}};
  auto items = net.named_parameters().items();
  if (reversed) std::ranges::reverse(items);
  for (const auto& item : items) groups[item.value().dim() > 1 ? 0 : 1].params.insert(item.key(), item.value());
  return groups;
}

/// The same groups for an optimizer of torch::optim.
template <class Options>
std::vector<torch::optim::OptimizerParamGroup> stock_groups(const Net& net, const Options& options) {
  std::vector<Tensor> decayed, others;
  for (const Tensor& param : net.parameters()) (param.dim() > 1 ? decayed : others).push_back(param);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(decayed, std::make_unique<Options>(options));
  groups.emplace_back(others, std::make_unique<Options>(Options(options).weight_decay(0)));
  return groups;
}

enum class Strides { contiguous, channels_last, every_second };

/// The same numbers with other strides. Only a tensor of four axes can be channels_last.
inline Tensor with_strides(const Tensor& tensor, Strides strides) {
  if (strides == Strides::every_second) {
    Tensor sparse = torch::empty({2 * tensor.numel()}, tensor.options()).slice(0, 0, 2 * tensor.numel(), 2);
    return sparse.view(tensor.sizes()).copy_(tensor);
  }
  const bool is_channels_last = strides == Strides::channels_last && tensor.dim() == 4;
  return tensor.contiguous(is_channels_last ? torch::MemoryFormat::ChannelsLast : torch::MemoryFormat::Contiguous);
}

inline std::vector<double> numbers(const Tensor& tensor) {
  const Tensor flat = tensor.detach().to(torch::kCPU, torch::kDouble).contiguous().view(-1);
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

/// The weights of the branches of a `csla` net, by the kernels' names in the plain net.
inline BranchWeights branch_weights_of(const Net& csla, const CslaBlocks& blocks) {
  BranchWeights weights;
  const auto params = csla.named_parameters();
  for (const auto& [kernel, block] : blocks)
    for (std::size_t i = 0; i < block.branches().size(); ++i)
      weights[kernel].push_back(params[kernel.substr(0, kernel.find('.') + 1) + std::to_string(i) + ".weight"]);
  return weights;
}

struct Training {
  bool channels_last = false;                 ///< for kernels and pictures
  double max_norm = 0;                        ///< for clip_grad_norm; 0 means no clipping
  bool step_lr = false;                       ///< LibTorch's scheduler multiplies lr by 0.8 every 10 steps
  std::optional<std::size_t> reload_after{};  ///< after this step, load the state into a new, different optimizer
  std::optional<CslaBlocks> optimized_as{};   ///< blocks for the optimizer that differ from the network's
  torch::ScalarType dtype = torch::kDouble;
};

/// Trains both networks for 50 steps. Returns the largest relative difference between their outputs, their gradient
/// norms and, at the end, their kernels.
template <class RepOptimizer, class Stock, class Options>
double follow_stock(const CslaBlocks& blocks, const Options& options, const Training& training = {}) {
  torch::manual_seed(2205);
  Net csla(blocks, true), target(blocks, false);
  const torch::Device device = test_device();
  csla.to(device, training.dtype);
  target.to(device, training.dtype);
  {
    const torch::NoGradGuard no_grad;
    const auto params = csla.named_parameters();
    for (const auto& param : target.named_parameters()) {
      if (const Tensor* const same = params.find(param.key())) param.value().copy_(*same);
      if (training.channels_last && param.value().dim() == 4)
        Tensor(param.value()).set_data(param.value().contiguous(torch::MemoryFormat::ChannelsLast));
    }
  }
  initialize(target, blocks, branch_weights_of(csla, blocks));

  Stock stock(stock_groups(csla, options), options);
  const CslaBlocks& optimized_as = training.optimized_as ? *training.optimized_as : blocks;
  auto optimizer = std::make_unique<RepOptimizer>(rep_groups<RepOptimizer>(target, options), optimized_as, options);
  torch::optim::StepLR stock_schedule(stock, 10, 0.8);
  auto schedule = std::make_unique<torch::optim::StepLR>(*optimizer, 10, 0.8);

  double largest = 0;
  for (std::size_t step = 0; step < 50; ++step) {
    const Tensor labels = torch::randint(4, {8}, torch::kLong).to(device);
    Tensor x = torch::randn({8, 3, 7, 6}, training.dtype).to(device);
    if (training.channels_last) x = x.contiguous(torch::MemoryFormat::ChannelsLast);
    stock.zero_grad();
    optimizer->zero_grad();
    const Tensor theirs = csla.forward(x), ours = target.forward(x);
    largest = std::max(largest, repopt::testing::relative_error(numbers(ours), numbers(theirs)));
    torch::cross_entropy_loss(theirs, labels).backward();
    torch::cross_entropy_loss(ours, labels).backward();
    if (training.max_norm > 0) {
      const double norm = torch_nn::utils::clip_grad_norm_(csla.parameters(), training.max_norm);
      largest = std::max(largest, std::abs(optimizer->clip_grad_norm(training.max_norm) - norm) / norm);
    }
    stock.step();
    optimizer->step();
    if (training.step_lr) {
      stock_schedule.step();
      schedule->step();
    }
    if (training.reload_after == step) {
      std::stringstream file;
      torch::save(*optimizer, file);
      const CslaBlocks other_scales = with_scales(blocks, [](double) { return 0.5; });
      const auto groups = rep_groups<RepOptimizer>(target, Options(0.5).weight_decay(0.5), true);
      optimizer = std::make_unique<RepOptimizer>(groups, other_scales, Options(0.5));
      torch::load(*optimizer, file);
    }
  }
  Net expected(blocks, false);
  expected.to(device, training.dtype);
  initialize(expected, blocks, branch_weights_of(csla, blocks));
  for (const auto& [name, block] : blocks)
    largest = std::max(largest, repopt::testing::relative_error(numbers(target.named_parameters()[name]),
                                                                numbers(expected.named_parameters()[name])));
  return largest;
}

}  // namespace repopt::libtorch::testing
