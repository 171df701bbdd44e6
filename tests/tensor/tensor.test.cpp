#include "repopt/tensor/tensor.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "repopt/tensor/allocator.hpp"

using namespace repopt::nn;

TEST_CASE("A tensor resizes within its reserved memory, and is empty after reserving more") {
  Tensor<float> tensor({1, 2, 3, 4});
  tensor.reserve(20);
  CHECK(tensor.shape() == ImageShape{1, 2, 3, 4});
  CHECK(tensor.size() == 24);

  tensor.reserve(1000);
  CHECK(tensor.shape() == ImageShape{});
  CHECK(tensor.size() == 0);
  tensor.resize({1, 1, 1, 1});
  const float* const memory = tensor.data();
  tensor.resize({2, 5, 10, 10});
  CHECK(tensor.data() == memory);
}

TEST_CASE("Memory of any size is aligned and keeps the values written to it") {
  for (const std::size_t count :
       {std::size_t(1), (std::size_t(1) << 19) - 1, std::size_t(1) << 19, std::size_t(1) << 20}) {
    std::vector<float, LargePageAllocator<float>> values(count, 1.0f);
    CHECK(reinterpret_cast<std::uintptr_t>(values.data()) % EIGEN_MAX_STATIC_ALIGN_BYTES == 0);
    values.front() = values.back() = 2.0f;
    const auto moved = std::move(values);
    CHECK(moved.front() == 2.0f);
    CHECK(moved[count / 2] == (count == 1 ? 2.0f : 1.0f));
  }
}

TEST_CASE("Images that do not fit memory are refused, and the tensor stays as it was") {
  Tensor<float> tensor({1, 2, 3, 4});
  constexpr std::size_t huge = std::size_t(1) << 32;  // huge * huge wraps to 0
  CHECK_THROWS_WITH_AS(tensor.resize({huge, huge, 1, 2}), "images of 4294967296x4294967296x1x2 do not fit memory",
                       std::invalid_argument);
  CHECK(tensor.shape() == ImageShape{1, 2, 3, 4});
  CHECK_NOTHROW(tensor.resize({0, huge, 1, 2}));
  CHECK(tensor.size() == 0);
}
