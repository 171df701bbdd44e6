#include "study/plot.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace repopt_cifar;
using namespace repopt_cifar::study;

TEST_CASE("A rounded axis covers its numbers and begins and ends at round ones") {
  const Axis axis = round_axis(41.2, 47.9);
  CHECK(axis.low == doctest::Approx(40));
  CHECK(axis.high == doctest::Approx(48));
  CHECK(round_axis(-0.31, 1.02).low == doctest::Approx(-0.5));
  CHECK(round_axis(0, 60).high == 60);
  CHECK(round_axis(3, 3).low < 3);
  CHECK(round_axis(3, 3).high > 3);
}

TEST_CASE("The corners of a plot are the ends of its axes, and its numbers stand at their places") {
  Plot plot("a <title>", {0, 2, "x"}, {10, 20, "y"});
  plot.line({{0, 20}, {2, 10}, {9, 99}}, "red");
  const std::string html = plot.html("");
  CHECK(html.find("points='0.0,0.0 1000.0,1000.0 1000.0,0.0 '") != html.npos);
  CHECK(html.find("<span class='left' style='left:50.00%'>1.0</span>") != html.npos);
  CHECK(html.find("<span class='top' style='top:100.00%'>10</span>") != html.npos);
  CHECK(html.find("aria-label='a &lt;title&gt;'") != html.npos);
}
