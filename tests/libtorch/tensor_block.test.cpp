// LibTorch before doctest: follow_stock.hpp says why.
#include "libtorch/follow_stock.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "repopt/core/embedding.hpp"
#include "support/block_kinds.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::libtorch::testing;
using torch::Tensor;

TEST_CASE("A branch's view of a kernel holds the elements that embed() places its weights in, for any strides") {
  for (const auto& kind : block_kinds()) {
    CAPTURE(kind.name);
    const ConvShape& target = kind.target;
    const auto size = std::int64_t(target.size());
    const std::array<std::int64_t, 4> sizes{std::int64_t(target.out_channels), std::int64_t(target.in_per_group()),
                                            std::int64_t(target.kernel_size[0]), std::int64_t(target.kernel_size[1])};
    const Tensor places = torch::arange(size).view(sizes);
    Tensor sparse = torch::empty({2 * size + 1}, torch::kLong).slice(0, 1, 2 * size + 1, 2).view(sizes);
    sparse.copy_(places);
    std::vector<Tensor> kernels{places, places.contiguous(torch::MemoryFormat::ChannelsLast), sparse};
    if (target.taps() == 1) kernels.push_back(places.view({sizes[0], sizes[1]}));
    for (const Tensor& kernel : kernels)
      for (const ConvShape& branch : kind.branches) {
        std::vector<double> expected(branch.size());
        embed(branch, target,
              [&](std::size_t, std::size_t place, std::size_t index) { expected[index] = double(place); });
        CHECK(numbers(libtorch::view_of_branch(kernel, branch, target)) == expected);
      }
  }
}
