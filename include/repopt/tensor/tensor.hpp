// Tensor: a batch of images in memory, channels innermost.
#pragma once

#include <Eigen/Core>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/tensor/allocator.hpp"

namespace repopt::nn {

/// The dimensions of a batch of images or, with height = width = 1, of feature vectors.
struct ImageShape {
  /// In the order of memory, outermost first.
  /// @{
  std::size_t batch = 0, height = 0, width = 0, channels = 0;
  /// @}

  /// The number of pixels of the batch, and of values.
  /// @{
  constexpr std::size_t pixels() const { return batch * height * width; }
  constexpr std::size_t size() const { return pixels() * channels; }
  /// @}
  constexpr bool operator==(const ImageShape&) const = default;
};

/// "8x32x32x3": batch, height, width, channels.
inline std::string describe(const ImageShape& shape) {
  return concat(shape.batch, "x", shape.height, "x", shape.width, "x", shape.channels);
}

/// Throws std::invalid_argument, naming both shapes, unless dL/dy has the shape of the output y.
inline void require_grad_shape(const ImageShape& grad_y, const ImageShape& y) {
  if (grad_y != y) require(false, "grad_y is ", describe(grad_y), ", the output was ", describe(y));
}

/// Eigen's types for data of this library: a row-major matrix, and an array with a number for each channel.
/// @{
template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Vector = Eigen::Array<T, Eigen::Dynamic, 1>;
/// @}

/// A view of a row-major matrix. The distance between rows may exceed their length.
/// @{
template <class T>
using MatrixMap = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using ConstMatrixMap = Eigen::Map<const Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
/// @}

/// A view of the matrix (rows, columns) at `data`, with `stride` elements from row to row.
/// @{
template <class T>
MatrixMap<T> matrix(T* data, std::size_t rows, std::size_t columns, std::size_t stride) {
  return {data, Eigen::Index(rows), Eigen::Index(columns), Eigen::OuterStride<>(Eigen::Index(stride))};
}
template <class T>
ConstMatrixMap<T> matrix(const T* data, std::size_t rows, std::size_t columns, std::size_t stride) {
  return {data, Eigen::Index(rows), Eigen::Index(columns), Eigen::OuterStride<>(Eigen::Index(stride))};
}
/// @}

/// A batch of images: (batch, height, width, channels), channels innermost (NHWC).
template <class T>
class Tensor {
 public:
  Tensor() = default;
  /// A tensor with these dimensions and unspecified contents.
  explicit Tensor(const ImageShape& shape) { resize(shape); }

  /// Changes the dimensions, and keeps the memory if it is large enough. Afterwards the contents are unspecified.
  /// Throws std::invalid_argument, and changes nothing, if the images do not fit memory.
  void resize(const ImageShape& shape) {
    std::size_t most = values_.max_size();
    for (const std::size_t factor : {shape.batch, shape.height, shape.width, shape.channels})
      most = factor > 0 ? most / factor : most;
    if (most == 0) require(false, "images of ", describe(shape), " do not fit memory");
    reserve(shape.size());
    shape_ = shape;
    values_.resize(shape.size());
  }

  /// Makes room for `size` values: resize() to at most this size then allocates nothing. If reserve() itself must
  /// allocate, the tensor is empty afterwards.
  void reserve(std::size_t size) {
    if (values_.capacity() >= size) return;
    shape_ = {};
    values_ = decltype(values_)();  // frees the old memory before the new is allocated; assigning {} would keep it
    values_.reserve(size);
  }

  /// The dimensions, and the number of values.
  /// @{
  const ImageShape& shape() const { return shape_; }
  std::size_t size() const { return values_.size(); }
  /// @}

  /// All values, aligned for Eigen's packets.
  /// @{
  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  std::span<T> values() { return values_; }
  std::span<const T> values() const { return values_; }
  /// @}

  /// The channels of a pixel. `index` counts the pixels of the whole batch.
  /// @{
  T* pixel(std::size_t index) { return data() + index * shape_.channels; }
  const T* pixel(std::size_t index) const { return data() + index * shape_.channels; }
  /// @}

  /// The channels of a pixel as an array of Eigen's, to compute with.
  /// @{
  auto channels(std::size_t index) { return Eigen::Map<Vector<T>>(pixel(index), Eigen::Index(shape_.channels)); }
  auto channels(std::size_t index) const {
    return Eigen::Map<const Vector<T>>(pixel(index), Eigen::Index(shape_.channels));
  }
  /// @}

  /// The tensor as a matrix (pixels, channels).
  /// @{
  auto matrix() { return nn::matrix(data(), shape_.pixels(), shape_.channels, shape_.channels); }
  auto matrix() const { return nn::matrix(data(), shape_.pixels(), shape_.channels, shape_.channels); }
  /// @}

 private:
  ImageShape shape_;
  std::vector<T, LargePageAllocator<T>> values_;
};

/// Calls visit(index) for every pixel, by parallel_for().
template <class T>
void for_each_pixel(const Tensor<T>& x, auto visit) {
  parallel_for(x.shape().pixels(), x.size(), visit);
}

}  // namespace repopt::nn
