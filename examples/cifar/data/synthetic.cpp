#include "data/synthetic.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "repopt/base/random.hpp"

namespace repopt_cifar {

namespace {

constexpr std::size_t size = 32, channels = 3, slopes = 5, widths = 2;

/// The sequence of random numbers of one picture.
class PictureRandom {
 public:
  PictureRandom(std::uint64_t seed, std::size_t picture) : seed_(seed), picture_(picture) {}

  double uniform(double low, double high) {
    return low + (high - low) * repopt::to_uniform(repopt::random_bits(seed_, picture_, counter_++));
  }

 private:
  std::uint64_t seed_;
  std::size_t picture_, counter_ = 0;
};

void draw(std::uint8_t* pixels, std::size_t label, PictureRandom random) {
  const double angle = std::numbers::pi / 2 * double(label % slopes) / double(slopes - 1);
  const double period = label / slopes == 0 ? 4.5 : 9.0;
  const double mirror = random.uniform(0, 1) < 0.5 ? -1 : 1, phase = random.uniform(0, 2 * std::numbers::pi);
  double colour[channels], ground[channels];
  for (std::size_t c = 0; c < channels; ++c) {
    colour[c] = random.uniform(-60, 60);
    ground[c] = random.uniform(90, 160);
  }
  for (std::size_t y = 0; y < size; ++y)
    for (std::size_t x = 0; x < size; ++x) {
      const double along = (mirror * std::cos(angle) * double(x) + std::sin(angle) * double(y)) / period;
      const double wave = std::sin(2 * std::numbers::pi * along + phase);
      for (std::size_t c = 0; c < channels; ++c) {
        const double value = ground[c] + colour[c] * wave + random.uniform(-50, 50);
        pixels[(c * size + y) * size + x] = static_cast<std::uint8_t>(std::clamp(value, 0.0, 255.0));
      }
    }
}

}  // namespace

repopt::io::ImageDataset synthetic_pictures(std::size_t count, std::uint64_t seed) {
  repopt::io::ImageDataset pictures;
  pictures.name = "synthetic";
  pictures.classes = slopes * widths;
  for (std::size_t k = 0; k < pictures.classes; ++k) pictures.class_names.push_back("stripes " + std::to_string(k));
  pictures.pixels.resize(count * channels * size * size);
  pictures.labels.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    pictures.labels[i] = static_cast<std::uint8_t>(i % pictures.classes);
    draw(pictures.pixels.data() + i * channels * size * size, pictures.labels[i], PictureRandom(seed, i));
  }
  return pictures;
}

}  // namespace repopt_cifar
