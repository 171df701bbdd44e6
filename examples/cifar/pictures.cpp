#include "pictures.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "synthetic.hpp"

namespace repopt_cifar {

namespace {

void cut(repopt::io::ImageDataset& pictures, std::size_t limit) {
  if (limit == 0 || limit >= pictures.labels.size()) return;
  pictures.labels.resize(limit);
  pictures.pixels.resize(limit * 3 * 32 * 32);
}

}  // namespace

PictureSets PictureSets::load(const std::string& data, std::size_t limit) {
  PictureSets sets;
  if (data == "synthetic") {
    sets = {synthetic_pictures(10000, 1), synthetic_pictures(2000, 2)};
  } else {
    sets = {repopt::io::load_cifar_train(data), repopt::io::load_cifar_test(data)};
  }
  cut(sets.train, limit);
  cut(sets.test, limit);
  return sets;
}

std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed, std::size_t epoch) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t(0));
  for (std::size_t i = count; i > 1; --i) {
    const std::uint64_t bits = repopt::nn::random_bits(seed, repopt::nn::name_hash("shuffle"), epoch, i);
    std::swap(order[i - 1], order[bits % i]);
  }
  return order;
}

Augmentation Augmentation::random(std::uint64_t seed, std::size_t epoch, std::size_t picture) {
  constexpr std::uint64_t padding = 4, shifts = 2 * padding + 1;
  const std::uint64_t bits = repopt::nn::random_bits(seed, repopt::nn::name_hash("augment"), epoch, picture);
  return {.shift_y = std::ptrdiff_t(bits % shifts) - std::ptrdiff_t(padding),
          .shift_x = std::ptrdiff_t(bits / shifts % shifts) - std::ptrdiff_t(padding),
          .flip = bits / (shifts * shifts) % 2 == 1};
}

}  // namespace repopt_cifar
