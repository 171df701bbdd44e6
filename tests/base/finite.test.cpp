#include "repopt/base/finite.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

using namespace repopt;

TEST_CASE_TEMPLATE("NaN and infinity are found at every place of arrays of every size, and finite elements are not", T,
                   float, double) {
  using Limits = std::numeric_limits<T>;
  for (const std::size_t size : {0U, 1U, 31U, 511U, 512U, 513U, 1300U}) {
    std::vector<T> elements(size);
    for (std::size_t i = 0; i < size; ++i)
      elements[i] = std::vector<T>{Limits::max(), Limits::lowest(), Limits::denorm_min(), T(-0.0)}[i % 4];
    CHECK(first_non_finite<T>(elements) == std::nullopt);
    for (std::size_t place = 0; place < size; ++place)
      for (const T bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
        const T good = elements[place];
        elements[place] = bad;
        REQUIRE(first_non_finite<T>(elements) == place);
        elements[place] = good;
      }
  }
}

TEST_CASE("The first of several elements that are not finite is found") {
  std::vector<double> elements(2000);
  for (const std::size_t place : {1999U, 700U, 300U, 299U}) {
    elements[place] = std::numeric_limits<double>::infinity();
    CHECK(first_non_finite<double>(elements) == place);
  }
}
