#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "charts/scale_summary.hpp"
#include "charts/scales_svg.hpp"
#include "commands.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt_cifar;
using repopt::testing::read_bytes;
using repopt::testing::TemporaryFolder;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity(),
                 not_a_number = std::numeric_limits<double>::quiet_NaN();

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("Summaries cover the finite values and come in the order of the layers") {
  const auto summaries =
      summarize({{"b10", {1, -0.5, -2}}, {"b9", {not_a_number, 3, infinity, 1}}, {"c", {not_a_number}}, {"d", {}}});
  REQUIRE(summaries.size() == 4);
  CHECK(summaries[0].name == "b9");
  CHECK(summaries[0].length == 4);
  CHECK(summaries[0].mean == 2);
  CHECK(summaries[0].min == 1);
  CHECK(summaries[0].max == 3);
  CHECK(summaries[0].negative == 0);
  CHECK(summaries[0].not_finite == 2);
  CHECK(summaries[1].name == "b10");
  CHECK(summaries[1].mean == -0.5);
  CHECK(summaries[1].min == -2);
  CHECK(summaries[1].max == 1);
  CHECK(summaries[1].negative == 2);
  for (const std::size_t nothing : {2U, 3U}) {
    CHECK(std::isnan(summaries[nothing].mean));
    CHECK(std::isnan(summaries[nothing].min));
    CHECK(std::isnan(summaries[nothing].max));
  }
}

TEST_CASE("The picture has a column for each kind if there are up to three, and otherwise a row for each scale") {
  const auto svg = [](const repopt::Scales<double>& scales) { return scales_svg("file", {}, summarize(scales)); };
  const std::string three = svg({{"l1.x.weight", {1}}, {"l1.y.weight", {1}}, {"l2.x.weight", {1}}, {"l2.z", {-1}}});
  CHECK(count(three, ">l1<") == 1);
  CHECK(count(three, ">l2<") == 1);
  for (const char* column : {">x<", ">y<", ">z<"}) CHECK(count(three, column) == 1);
  const std::string one = svg({{"l1.x.weight", {1}}, {"l2.x.weight", {1}}});
  CHECK(count(one, ">x<") == 1);
  CHECK(count(one, ">l1<") == 1);
  const std::string four = svg({{"a.w", {1}}, {"a.x", {1}}, {"a.y", {1}}, {"a.z", {1}}, {"b", {1}}});
  for (const char* row : {">a.w<", ">a.x<", ">a.y<", ">a.z<", ">b<"}) CHECK(count(four, row) == 1);
}

TEST_CASE("The picture shows negative values and values that are not finite, for any names and values") {
  const auto svg = [](const repopt::Scales<double>& scales) { return scales_svg("file", {}, summarize(scales)); };
  CHECK(count(svg({{"a", {-1, -2, -0.5, 3}}}), ">3</text>") == 1);  // this 3 is no tick: ticks are 2 apart
  CHECK(count(svg({{"a", {1, not_a_number}}}), ">NaN</text>") == 1);
  for (const std::vector<double>& values :
       {std::vector<double>{}, {0, 0}, {not_a_number}, {1e-300}, {-1e300, 1e300}, {5}}) {
    const std::string picture = svg({{"<&'\">", values}});
    CHECK(count(picture, ">&lt;&amp;&#39;&quot;&gt;</text>") == 1);
    CHECK(count(picture, "'nan'") + count(picture, "'-nan'") + count(picture, "'inf'") == 0);
  }
}

TEST_CASE("show_scales() shows the scales of any network and names the models that they fit") {
  const TemporaryFolder folder;
  const auto show = [&](const repopt::Scales<float>& scales) {
    repopt::formats::save_scales(folder / "scales", scales);
    return show_scales({.file = folder / "scales", .out = folder / "scales.svg"});
  };
  const Json foreign = show({{"blocks.0.0.ghost1.fusion_scale.weight", {-1, 2}}, {"blocks.0.0.ghost1.other", {1}}});
  CHECK(foreign.at("fits").empty());
  CHECK(foreign.at("count") == 3);
  CHECK(foreign.at("negative") == 1);
  CHECK(foreign.at("scales").at(0).at("name") == "blocks.0.0.ghost1.fusion_scale.weight");
  CHECK(foreign.at("scales").at(0).at("mean") == 0.5);
  CHECK(count(read_bytes(folder / "scales.svg"), ">blocks.0.0.ghost1<") == 1);

  repopt::Scales<float> small;
  for (const auto& [name, length] : repopt::nn::scale_lengths(repopt::nn::vgg_preset("cifar-small")))
    small[name].assign(length, 1);
  CHECK(show(small).at("fits") == Json{"cifar-small"});
  CHECK_THROWS_WITH_AS(show({}), ((folder / "scales").string() + " holds no scales").c_str(), std::runtime_error);
}
