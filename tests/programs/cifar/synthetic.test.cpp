// The synthetic pictures keep their promise: a linear classifier cannot tell them apart. (cifar_program_test.sh tests
// that a network can.)
#include "data/synthetic.hpp"

#include <doctest/doctest.h>

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cstddef>

using namespace repopt_cifar;

namespace {

/// Pictures as rows of numbers in [-1, 1], and labels as rows with a 1 in the column of the class.
struct Rows {
  Eigen::MatrixXf pixels, labels;

  explicit Rows(const repopt::io::ImageDataset& pictures)
      : pixels(Eigen::Index(pictures.labels.size()), 3 * 32 * 32),
        labels(Eigen::MatrixXf::Zero(pixels.rows(), Eigen::Index(pictures.classes))) {
    for (Eigen::Index i = 0; i < pixels.rows(); ++i) {
      const auto first = std::size_t(i * pixels.cols());
      for (Eigen::Index k = 0; k < pixels.cols(); ++k)
        pixels(i, k) = float(pictures.pixels[first + std::size_t(k)]) / 127.5f - 1;
      labels(i, pictures.labels[std::size_t(i)]) = 1;
    }
  }
};

/// Returns the share of the rows whose largest score is in the column of their label.
double accuracy(const Eigen::MatrixXf& scores, const Eigen::MatrixXf& labels) {
  std::size_t correct = 0;
  for (Eigen::Index i = 0; i < scores.rows(); ++i) {
    Eigen::Index best = 0;
    scores.row(i).maxCoeff(&best);
    correct += labels(i, best) == 1;
  }
  return double(correct) / double(scores.rows());
}

}  // namespace

TEST_CASE("A linear classifier stays below 60 % on the synthetic pictures, however it is regularised") {
  const Rows train(synthetic_pictures(2000, 1)), test(synthetic_pictures(1000, 2));
  const Eigen::MatrixXf gram = train.pixels * train.pixels.transpose();
  for (const float ridge : {1.0f, 100.0f, 10000.0f}) {
    // Ridge regression in its dual form: weights = pixels^T (gram + ridge I)^-1 labels.
    Eigen::MatrixXf regularised = gram;
    regularised.diagonal().array() += ridge;
    const Eigen::MatrixXf weights = train.pixels.transpose() * regularised.llt().solve(train.labels);
    CAPTURE(ridge);
    CHECK(accuracy(train.pixels * weights, train.labels) > 0.5);  // the classifier has learnt its training pictures
    CHECK(accuracy(test.pixels * weights, test.labels) < 0.6);
  }
}

TEST_CASE("Synthetic pictures depend only on seed and index, and all classes are equally frequent") {
  const auto few = synthetic_pictures(20, 5), more = synthetic_pictures(30, 5), others = synthetic_pictures(20, 6);
  CHECK(std::equal(few.pixels.begin(), few.pixels.end(), more.pixels.begin()));
  CHECK(few.pixels != others.pixels);
  std::array<std::size_t, 10> counts{};
  for (const auto label : more.labels) ++counts.at(label);
  for (const std::size_t count : counts) CHECK(count == 3);
}
