// Pictures for training: reproducibly shuffled and augmented, in normalised batches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/random.hpp"
#include "repopt/io/cifar.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt_cifar {

/// Training and test pictures.
struct PictureSets {
  repopt::io::ImageDataset train, test;
  std::string note;  ///< tells the user that the folder holds only a part of CIFAR; empty otherwise

  /// Loads the pictures of `data`, a folder or "synthetic". Keeps the first `classes` classes (0: all), and of these
  /// the first `limit` pictures of each set (0: all). If `train_files` is not empty, the training pictures come only
  /// from these files of the folder. Throws std::runtime_error if a file is missing or wrong, and std::invalid_argument
  /// if `data` is empty, there are fewer classes, or one of the sets is empty.
  static PictureSets load(const std::string& data, std::size_t limit, std::size_t classes = 0,
                          const std::vector<std::string>& train_files = {});
};

/// Prints the note to stderr, unless it is empty.
void print_note(const PictureSets& pictures);

/// Returns the order of the pictures in an epoch, a permutation that depends only on (seed, epoch).
std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed, std::size_t epoch);

/// Which 32x32 window of the padded picture to take, and whether to mirror it.
struct Augmentation {
  std::ptrdiff_t shift_y = 0, shift_x = 0;
  bool flip = false;

  /// Draws a shift of up to 4 pixels and a flip, which depend only on (seed, epoch, picture).
  static Augmentation random(std::uint64_t seed, std::size_t epoch, std::size_t picture);
};

/// Writes one picture into a batch: (x / 255 - mean) / std, zero outside the picture.
template <class T>
void write_picture(const repopt::io::ImageDataset& pictures, std::size_t index,
                   const repopt::io::ChannelStatistics& normalisation, const Augmentation& augmentation,
                   repopt::nn::Tensor<T>& batch, std::size_t position) {
  constexpr std::ptrdiff_t size = 32;
  const std::uint8_t* const planes = pictures.pixels.data() + index * 3 * size * size;
  for (std::ptrdiff_t y = 0; y < size; ++y)
    for (std::ptrdiff_t x = 0; x < size; ++x) {
      T* const to = batch.pixel((position * size + std::size_t(y)) * size + std::size_t(x));
      const std::ptrdiff_t from_y = y + augmentation.shift_y;
      const std::ptrdiff_t from_x = (augmentation.flip ? size - 1 - x : x) + augmentation.shift_x;
      const bool inside = from_y >= 0 && from_y < size && from_x >= 0 && from_x < size;
      for (std::size_t c = 0; c < 3; ++c) {
        const double value = inside ? planes[(std::ptrdiff_t(c) * size + from_y) * size + from_x] / 255.0 : 0;
        to[c] = inside ? T((value - normalisation.mean[c]) / normalisation.std[c]) : T(0);
      }
    }
}

/// Writes the pictures of these indices into `images` (indices.size(), 32, 32, 3), and their labels into `labels`.
/// augment(index) returns the Augmentation of a picture.
template <class T>
void write_batch(const repopt::io::ImageDataset& pictures, std::span<const std::size_t> indices,
                 const repopt::io::ChannelStatistics& normalisation, auto augment, repopt::nn::Tensor<T>& images,
                 std::vector<int>& labels) {
  images.resize({indices.size(), 32, 32, 3});
  labels.resize(indices.size());
  for (std::size_t i = 0; i < indices.size(); ++i) {
    labels[i] = pictures.labels[indices[i]];
    write_picture(pictures, indices[i], normalisation, augment(indices[i]), images, i);
  }
}

}  // namespace repopt_cifar
