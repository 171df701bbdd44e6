// Cross entropy with label smoothing: the loss and its gradient with respect to the logits.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>

#include "repopt/base/error.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

namespace detail {

template <class T>
void require_labels(const Tensor<T>& logits, std::span<const int> labels) {
  require(!labels.empty() && labels.size() == logits.shape().pixels(), "there are ", labels.size(), " labels for ",
          describe(logits.shape()), " logits");
  for (const int label : labels)
    require(label >= 0 && std::size_t(label) < logits.shape().channels, "label ", label, " of ",
            logits.shape().channels, " classes");
}

}  // namespace detail

/// torch.nn.CrossEntropyLoss(label_smoothing): the mean over the batch of -sum_k q_k log softmax(logits)_k. Here q is
/// label_smoothing / classes on every class, plus 1 - label_smoothing on the label. `logits` is (batch, 1, 1, classes).
/// `grad_logits` is resized and receives dloss/dlogits. Throws std::invalid_argument if a label is not a class or
/// label_smoothing is not in [0, 1].
template <class T>
double cross_entropy(const Tensor<T>& logits, std::span<const int> labels, double label_smoothing,
                     Tensor<T>& grad_logits) {
  detail::require_labels(logits, labels);
  require(label_smoothing >= 0 && label_smoothing <= 1, "label_smoothing must be in [0, 1], it is ", label_smoothing);
  grad_logits.resize(logits.shape());
  const double batch = double(labels.size()), classes = double(logits.shape().channels);
  double loss = 0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const auto z = logits.channels(n).template cast<double>();  // an Eigen expression, like log_softmax
    const double max = z.maxCoeff(), log_sum = max + std::log((z - max).exp().sum());
    const auto log_softmax = z - log_sum;
    const double of_label = log_softmax[labels[n]];
    const double smoothed = label_smoothing > 0 ? label_smoothing / classes * log_softmax.sum() : 0;
    loss -= ((1 - label_smoothing) * of_label + smoothed) / batch;
    auto grad = grad_logits.channels(n);
    grad = ((log_softmax.exp() - label_smoothing / classes) / batch).template cast<T>();
    grad[labels[n]] = T((std::exp(of_label) - (label_smoothing / classes + 1 - label_smoothing)) / batch);
  }
  return loss;
}

/// Returns the number of images whose largest logit is the label's.
template <class T>
std::size_t correct_predictions(const Tensor<T>& logits, std::span<const int> labels) {
  detail::require_labels(logits, labels);
  std::size_t correct = 0;
  for (std::size_t n = 0; n < labels.size(); ++n) {
    Eigen::Index prediction = 0;
    logits.channels(n).maxCoeff(&prediction);
    correct += prediction == labels[n];
  }
  return correct;
}

}  // namespace repopt::nn
