#include "repopt/base/error.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

using repopt::concat;
using repopt::require;

TEST_CASE("concat joins text and numbers") {
  CHECK(concat("scale has ", std::size_t(8), " elements, not ", -3, std::string(" of them")) ==
        "scale has 8 elements, not -3 of them");
}

TEST_CASE("concat writes numbers so that reading gives the same number") {
  for (const double number : {0.1, 1e300, 4e-5, -2.0 / 3}) CHECK(std::stod(concat(number)) == number);
  CHECK(concat(0.1) == "0.1");
  CHECK(concat(0.1f) == "0.1");
  CHECK(concat(std::numeric_limits<double>::quiet_NaN()) == "nan");
}

TEST_CASE("require throws the message if the condition does not hold, and only then") {
  CHECK_NOTHROW(require(true, "never"));
  CHECK_THROWS_WITH_AS(require(false, "groups is ", 0), "groups is 0", std::invalid_argument);
}
