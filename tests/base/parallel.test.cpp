#include "repopt/base/parallel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

using namespace repopt;

TEST_CASE("parallel_for visits each index once, for any amount of work") {
  for (const std::size_t work : {std::size_t(1), std::size_t(1) << 20}) {
    std::vector<int> visits(1000);
    parallel_for(visits.size(), work, [&](std::size_t i) { ++visits[i]; });
    CHECK(std::ranges::count(visits, 1) == 1000);
    parallel_for(0, work, [&](std::size_t) { visits.clear(); });
    CHECK(visits.size() == 1000);
  }
}

TEST_CASE("parallel_for inside another visits each index once") {
  std::vector<int> visits(100 * 100);
  parallel_for(100, std::size_t(1) << 20, [&](std::size_t i) {
    parallel_for(100, std::size_t(1) << 20, [&](std::size_t j) { ++visits[100 * i + j]; });
  });
  CHECK(std::ranges::count(visits, 1) == 100 * 100);
}

TEST_CASE("sum_over_ranges cuts the indices into the given number of ranges, but at most one for each index") {
  for (const std::size_t parts : {std::size_t(1), std::size_t(3), std::size_t(40)}) {
    std::vector<double> sum{0, 0};
    sum_over_ranges<double>(7, parts, std::size_t(1) << 20, sum,
                            [](std::size_t begin, std::size_t end, std::span<double> part) {
                              part[0] += double(end - begin);
                              part[1] += 1;
                            });
    CHECK(sum == std::vector<double>{7, double(std::min<std::size_t>(parts, 7))});
  }
}

TEST_CASE("sum_in_parts adds the contribution of every index to the sum") {
  for (const std::size_t work : {std::size_t(1), std::size_t(1) << 20}) {
    std::vector<double> sum{1, 2, 3};
    sum_in_parts<double>(100, work, sum, [](std::size_t i, std::span<double> part) { part[i % 3] += double(i); });
    CHECK(sum == std::vector<double>{1 + 1683, 2 + 1617, 3 + 1650});
  }
}
