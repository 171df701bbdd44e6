// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "libtorch/net_blocks.hpp"
#include "libtorch/torch_threads.hpp"
#include "repopt/libtorch/dense_memory.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::CslaBlocks;
using torch::Tensor;

namespace {

/// The parameters of a net after 12 steps with random gradients. Before step i they get the strides number i, in turn.
template <class RepOptimizer, class Options>
std::vector<double> trained(const Options& options, torch::ScalarType dtype, const std::vector<Strides>& in_turn) {
  torch::manual_seed(5);
  Net net(net_blocks(), false);
  net.to(dtype);
  RepOptimizer optimizer(rep_groups<RepOptimizer>(net, options), net_blocks(), options);
  for (std::size_t step = 0; step < 12; ++step) {
    for (Tensor param : net.parameters()) {
      param.set_data(with_strides(param.detach(), in_turn[step % in_turn.size()]));
      param.mutable_grad() = with_strides(torch::randn(param.sizes(), dtype), Strides::contiguous);
    }
    optimizer.clip_grad_norm(3);
    optimizer.step();
  }
  std::vector<double> all;
  for (const Tensor& param : net.parameters())
    for (const double value : numbers(param)) all.push_back(value);
  return all;
}

template <class RepOptimizer, class Options>
void check_routes(const Options& options) {
  using enum Strides;
  for (const auto dtype : {torch::kDouble, torch::kFloat}) {
    const std::vector<double> by_tensors = trained<RepOptimizer>(options, dtype, {every_second});
    for (const std::vector<Strides>& in_turn :
         {std::vector{contiguous}, {channels_last}, {contiguous, every_second, channels_last}}) {
      const double error = relative_error(trained<RepOptimizer>(options, dtype, in_turn), by_tensors);
      CHECK(error < (dtype == torch::kDouble ? 1e-12 : 1e-5));
    }
  }
}

bool is_dense(const Tensor& weight, const Tensor& grad) {
  libtorch::TensorBlock block(weight.options());
  return libtorch::visit_dense(weight, grad, block, [](const auto&, const auto&) {});
}

}  // namespace

TEST_CASE("The loops of repopt/optim and tensor operations agree up to rounding, and may take turns in a training") {
  check_routes<libtorch::RepSgd>(sgd);
  check_routes<libtorch::RepSgd>(torch::optim::SGDOptions(0.02).momentum(0.9).dampening(0.3));
  check_routes<libtorch::RepAdamW>(torch::optim::AdamWOptions(adamw).amsgrad(true));
}

TEST_CASE("The loops take dense float and double tensors on the CPU, and others are left to tensor operations") {
  const Tensor weight = torch::ones({4, 3, 2, 2});
  for (const auto strides : {Strides::contiguous, Strides::channels_last})
    for (const auto dtype : {torch::kFloat, torch::kDouble})
      CHECK(is_dense(with_strides(weight.to(dtype), strides), weight.to(dtype)));
  CHECK(is_dense(weight, with_strides(weight, Strides::every_second)));  // the gradient is copied
  CHECK_FALSE(is_dense(with_strides(weight, Strides::every_second), weight));
  CHECK_FALSE(is_dense(weight.to(torch::kBFloat16), weight.to(torch::kBFloat16)));
  CHECK_FALSE(is_dense(weight, weight.to(torch::kDouble)));
  CHECK_FALSE(is_dense(weight.to(torch::kMeta), weight.to(torch::kMeta)));
  CHECK_FALSE(is_dense(weight, weight.to_sparse()));
  CHECK_FALSE(
      is_dense(weight, torch::imag(torch::complex(weight, weight).conj())));  // negative numbers that are not yet so
}

TEST_CASE("Autograd notices that a step has changed weights") {
  torch_nn::Linear layer(2, 2);
  libtorch::RepSgd optimizer(*layer, {}, sgd);
  const Tensor loss = layer->weight.square().sum();
  loss.backward({}, true);
  optimizer.step();
  CHECK_THROWS_AS(loss.backward(), c10::Error);
}

TEST_CASE("A step on a new thread runs on LibTorch's number of threads, and any number gives the same weights") {
  const CslaBlock<double> block(square(64, 64, 3), {{square(64, 64, 3), 0.5}, Branch<double>::identity(64)});
  std::vector<Tensor> kernels;
  for (const int count : {1, 3}) {
    const TorchThreads threads(count);
    torch::manual_seed(1);
    torch_nn::Conv2d conv = make_conv(block.target());
    // Without momentum a step has no tensor operation, which would give the number to OpenMP, too.
    libtorch::RepSgd optimizer(*conv, {{"weight", block}}, torch::optim::SGDOptions(0.1));
    conv->weight.mutable_grad() = torch::randn(conv->weight.sizes());
    CHECK(threads_after([&] { optimizer.step(); }) == std::size_t(count));
    kernels.push_back(conv->weight);
  }
  CHECK(kernels[0].equal(kernels[1]));
}

TEST_CASE("A scale whose square is not finite in the parameter's precision is refused by name, in every precision") {
  const auto make = [](torch::ScalarType dtype, torch::DeviceType device, double s) {
    libtorch::NamedParams params;
    params.insert("weight", torch::zeros({2, 2, 3, 3}, torch::dtype(dtype).device(device)));
    const Branch<double> branch(square(2, 2, 3), std::vector<double>{1, s});
    libtorch::RepSgd({{.params = params}}, {{"weight", {square(2, 2, 3), {branch}}}}, sgd);
  };
  const auto refused = [&](const char* message, auto... arguments) {
    CHECK_THROWS_WITH_AS(make(arguments...), message, std::invalid_argument);
  };
  const std::string name = "branch 0 of 'weight' has the scale ";
  const auto cpu = torch::kCPU;
  refused((name + "300, its square is not finite in Half").c_str(), torch::kHalf, cpu, 300.0);
  refused((name + "1e+06, its square is not finite in Half").c_str(), torch::kHalf, cpu, 1e6);
  refused((name + "-1e+30, its square is not finite in BFloat16").c_str(), torch::kBFloat16, cpu, -1e30);
  refused((name + "1e+30, its square is not finite in Float").c_str(), torch::kFloat, cpu, 1e30);
  refused((name + "1e+30, its square is not finite in Float").c_str(), torch::kFloat, torch::kMeta, 1e30);
  CHECK_NOTHROW(make(torch::kHalf, cpu, 200));
  CHECK_NOTHROW(make(torch::kDouble, cpu, 1e30));
}
