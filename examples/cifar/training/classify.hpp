// classify(): what a network predicts for a picture set.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include "data/pictures.hpp"
#include "repopt/base/share.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/quantized_vgg.hpp"

namespace repopt_cifar {

/// How a network classified some pictures.
struct Classified {
  double loss = 0, accuracy = 0;  ///< means over the pictures; the loss is the cross entropy without label smoothing
  std::size_t correct = 0;
  std::vector<int> predictions;  ///< the predicted class of each picture
};

/// Classifies the pictures of `share`. forward(images) returns the logits of a batch.
template <class T>
Classified classify_by(auto forward, const repopt::io::ImageDataset& pictures,
                       const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size,
                       repopt::Share share) {
  std::vector<std::size_t> order(share.size);
  std::iota(order.begin(), order.end(), share.first);
  Classified result;
  repopt::nn::Tensor<T> images, unused;
  std::vector<int> labels;
  for (std::size_t first = 0; first < order.size(); first += batch_size) {
    const std::size_t size = std::min(batch_size, order.size() - first);
    write_batch(
        pictures, std::span(order).subspan(first, size), normalisation, [](std::size_t) { return Augmentation{}; },
        images, labels);
    const repopt::nn::Tensor<T>& logits = forward(images);
    result.loss += repopt::nn::cross_entropy<T>(logits, labels, 0, unused) * double(size) / double(order.size());
    result.correct += repopt::nn::correct_predictions<T>(logits, labels);
    for (std::size_t i = 0; i < size; ++i) {
      const auto z = logits.channels(i);
      result.predictions.push_back(int(std::max_element(z.begin(), z.end()) - z.begin()));
    }
  }
  result.accuracy = double(result.correct) / double(order.size());
  return result;
}

/// Classifies the pictures of `share` by a network in evaluation.
template <class T>
Classified classify(repopt::nn::Vgg<T>& model, const repopt::io::ImageDataset& pictures,
                    const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size, repopt::Share share) {
  const auto forward = [&](const repopt::nn::Tensor<T>& images) -> const repopt::nn::Tensor<T>& {
    return model.forward(images, repopt::nn::Phase::eval);
  };
  return classify_by<T>(forward, pictures, normalisation, batch_size, share);
}

/// Classifies all pictures by a network in evaluation.
template <class T>
Classified classify(repopt::nn::Vgg<T>& model, const repopt::io::ImageDataset& pictures,
                    const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size) {
  return classify(model, pictures, normalisation, batch_size, {0, pictures.size()});
}

/// Classifies all pictures by a quantized network.
inline Classified classify(repopt::quant::QuantizedVgg& model, const repopt::io::ImageDataset& pictures,
                           const repopt::io::ChannelStatistics& normalisation, std::size_t batch_size) {
  const auto forward = [&](const repopt::nn::Tensor<float>& images) -> const repopt::nn::Tensor<float>& {
    return model.forward(images);
  };
  return classify_by<float>(forward, pictures, normalisation, batch_size, {0, pictures.size()});
}

}  // namespace repopt_cifar
