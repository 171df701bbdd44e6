#include "charts/chart.hpp"
#include "charts/svg.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace repopt_cifar;

TEST_CASE("Ticks are round numbers within the axis, at least the given step apart") {
  CHECK(ticks(0, 100, 5) == std::vector<double>{0, 20, 40, 60, 80, 100});
  CHECK(ticks(1, 12, 7, 1) == std::vector<double>{2, 4, 6, 8, 10, 12});
  CHECK(ticks(1, 2, 7, 1) == std::vector<double>{1, 2});
  CHECK(ticks(3, 3, 7) == std::vector<double>{3});
  const std::vector<double> small = ticks(0.1, 0.31, 3);
  REQUIRE(small.size() == 3);
  CHECK(small[2] == doctest::Approx(0.3));
  CHECK(digits_of_step(20) == 0);
  CHECK(digits_of_step(0.1) == 1);
  CHECK(digits_of_step(0.05) == 2);
}

TEST_CASE("The corners of a chart are the ends of its axes, and points outside are moved to the edge") {
  const Chart chart{.x_axis = {0, 2, "x"}, .y_axis = {10, 20, "y"}, .left = 40, .top = 20, .width = 100, .height = 50};
  CHECK(chart.x(0) == 40);
  CHECK(chart.x(2) == 140);
  CHECK(chart.y(20) == 20);
  CHECK(chart.y(10) == 70);
  CHECK(chart.line({{-1, 15}, {9, 99}}, "red").find("points='40.0,45.0 140.0,20.0 '") != std::string::npos);
}

TEST_CASE("Text is escaped for XML") { CHECK(escaped("<a&'b\">") == "&lt;a&amp;&#39;b&quot;&gt;"); }
