// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <cstddef>

#include "libtorch/torch_threads.hpp"
#include "repopt/libtorch/folded_kernels.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using libtorch::FoldedKernels;
using torch::Tensor;

TEST_CASE("Autograd notices that fold() has changed a kernel") {
  torch_nn::Conv2d conv = make_conv(square(2, 2, 3));
  FoldedKernels folded(*conv, libtorch::rep_vgg_blocks(*conv));
  const Tensor loss = conv->weight.square().sum();
  loss.backward({}, true);
  CHECK_NOTHROW(loss.backward({}, true));
  folded.fold();
  CHECK_THROWS_AS(loss.backward(), c10::Error);
}

TEST_CASE("A gradient that LibTorch keeps negated counts as its negative") {
  torch_nn::Conv2d conv = make_conv(square(2, 2, 3));
  FoldedKernels folded(*conv, libtorch::rep_vgg_blocks(*conv));
  const Tensor grad = torch::randn(conv->weight.sizes());
  const auto gradients = [&](const Tensor& kernel_grad) {
    conv->weight.mutable_grad() = kernel_grad;
    folded.set_gradients();
    return numbers(folded.parameters().front().grad());
  };
  const Tensor negated = torch::_neg_view(grad);
  REQUIRE(negated.is_neg());
  CHECK(gradients(negated) == gradients(grad.neg()));
  CHECK(gradients(negated) != gradients(grad));
}

TEST_CASE("fold() and set_gradients() on a new thread run on LibTorch's number of threads") {
  torch_nn::Conv2d conv = make_conv(square(64, 64, 3));
  FoldedKernels folded(*conv, libtorch::rep_vgg_blocks(*conv));
  for (const int count : {1, 3}) {
    const TorchThreads threads(count);
    CHECK(threads_after([&] { folded.fold(); }) == std::size_t(count));
    CHECK(threads_after([&] { folded.set_gradients(); }) == std::size_t(count));
  }
}
