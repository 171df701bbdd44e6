#include "repopt/core/parallel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

using namespace repopt;

TEST_CASE("parallel_for visits each index once, whatever the work") {
  for (const std::size_t work : {std::size_t(1), std::size_t(1) << 20}) {
    std::vector<int> visits(1000);
    parallel_for(visits.size(), work, [&](std::size_t i) { ++visits[i]; });
    CHECK(std::ranges::count(visits, 1) == 1000);
    parallel_for(0, work, [&](std::size_t) { visits.clear(); });
    CHECK(visits.size() == 1000);
  }
}

TEST_CASE("sum_in_parts adds up what every index contributes, to what was there") {
  for (const std::size_t work : {std::size_t(1), std::size_t(1) << 20}) {
    std::vector<double> sum{1, 2, 3};
    sum_in_parts<double>(100, work, sum, [](std::size_t i, std::span<double> part) { part[i % 3] += double(i); });
    CHECK(sum == std::vector<double>{1 + 1683, 2 + 1617, 3 + 1650});
  }
}
