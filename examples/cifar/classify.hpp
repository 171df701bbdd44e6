// Running a network over a picture set.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "pictures.hpp"
#include "repopt/nn/cross_entropy.hpp"
#include "repopt/nn/repopt_vgg.hpp"

namespace repopt_cifar {

/// What a network made of some pictures.
struct Classified {
  double loss = 0, accuracy = 0;  ///< means
};

/// Classifies all pictures in evaluation mode; the loss is plain cross entropy.
template <class T>
Classified classify(repopt::nn::RepOptVgg<T>& model, const repopt::io::ImageDataset& pictures,
                    const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size) {
  const std::size_t count = pictures.labels.size();
  double loss = 0;
  std::size_t correct = 0;
  repopt::nn::Tensor<T> images, unused;
  std::vector<int> labels;
  for (std::size_t first = 0; first < count; first += batch_size) {
    const std::size_t size = std::min(batch_size, count - first);
    images.resize({size, 32, 32, 3});
    labels.assign(pictures.labels.begin() + std::ptrdiff_t(first),
                  pictures.labels.begin() + std::ptrdiff_t(first + size));
    for (std::size_t i = 0; i < size; ++i) write_picture(pictures, first + i, normalisation, {}, images, i);
    const repopt::nn::Tensor<T>& logits = model.forward(images, repopt::nn::Phase::eval);
    loss += repopt::nn::cross_entropy<T>(logits, labels, 0, unused) * double(size);
    correct += repopt::nn::correct_predictions<T>(logits, labels);
  }
  return {loss / double(count), double(correct) / double(count)};
}

}  // namespace repopt_cifar
