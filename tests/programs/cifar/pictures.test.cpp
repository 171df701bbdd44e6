#include "data/pictures.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>

using namespace repopt_cifar;

TEST_CASE("Pictures of the first classes keep their order and their pixels, and the limit counts only them") {
  const PictureSets all = PictureSets::load("synthetic", 40), some = PictureSets::load("synthetic", 0, 3),
                    few = PictureSets::load("synthetic", 5, 3);
  CHECK(some.train.classes == 3);
  CHECK(some.train.class_names.size() == 3);
  CHECK(some.train.size() == 3000);
  CHECK(some.test.size() == 600);
  CHECK(few.test.size() == 5);
  std::size_t next = 0;
  for (std::size_t i = 0; i < all.train.size(); ++i) {
    if (all.train.labels[i] >= 3) continue;
    CHECK(some.train.labels[next] == all.train.labels[i]);
    CHECK(std::ranges::equal(some.train.picture(next++), all.train.picture(i)));
  }
  CHECK(next == 12);
}

TEST_CASE("More classes than a picture set has, and files for generated pictures, are refused") {
  CHECK_THROWS_WITH_AS(PictureSets::load("synthetic", 0, 11), "synthetic has 10 classes, not 11",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(PictureSets::load("synthetic", 0, 0, {"data_batch_1.bin"}),
                       "synthetic pictures have no --train-files", std::invalid_argument);
}
