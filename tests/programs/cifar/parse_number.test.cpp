#include "formats/parse_number.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

using repopt_cifar::parse_number;

TEST_CASE("parse_number reads what concat and std::to_chars write") {
  CHECK(parse_number<double>("0.1") == 0.1);
  CHECK(parse_number<double>("-2.5e-05") == -2.5e-5);
  CHECK(parse_number<double>("1e+22") == 1e22);
  CHECK(parse_number<double>("5e-324") == std::numeric_limits<double>::denorm_min());
  CHECK(parse_number<float>("0.33333334") == 0.33333334f);
  CHECK(parse_number<double>("-inf") == -std::numeric_limits<double>::infinity());
  const auto nan = parse_number<double>("nan");
  CHECK((nan && std::isnan(*nan)));
  CHECK(parse_number<int>("-8") == -8);
  CHECK(parse_number<std::uint64_t>("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("parse_number refuses everything else") {
  for (const char* const text : {"", " 1", "1 ", "+1", "0x10", "one", "1,5", "1e", "1e400", "-1e400", "e", "0.1.2"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_number<double>(text));
    CHECK_FALSE(parse_number<int>(text));
  }
  CHECK_FALSE(parse_number<float>("1e39"));
  CHECK_FALSE(parse_number<double>(std::string("1\0", 2)));
  CHECK_FALSE(parse_number<int>("99999999999"));
  CHECK_FALSE(parse_number<std::uint64_t>("-1"));
}
