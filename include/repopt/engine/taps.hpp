// Loops over an image as a convolution needs them: over blocks of output pixels, and over the input pixels under the
// kernel's taps.
#pragma once

#include <algorithm>
#include <cstddef>

#include "repopt/core/conv_shape.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn::engine {

/// Pixels [first, first + pixels), cut into blocks of `block_size` pixels. The last block may be shorter.
class PixelBlocks {
 public:
  PixelBlocks(std::size_t first, std::size_t pixels, std::size_t block_size)
      : first_(first), pixels_(pixels), block_size_(block_size) {}

  std::size_t count() const { return (pixels_ + block_size_ - 1) / block_size_; }
  std::size_t first(std::size_t block) const { return first_ + block * block_size_; }
  std::size_t size(std::size_t block) const { return std::min(block_size_, pixels_ - block * block_size_); }

 private:
  std::size_t first_, pixels_, block_size_;
};

/// The taps along one axis of the kernel that lie inside the image, for one output pixel.
struct TapRange {
  std::size_t begin, end;  ///< taps [begin, end) lie inside
  std::ptrdiff_t start;    ///< image coordinate of tap 0; negative in the padding

  TapRange(const ConvShape& shape, std::size_t axis, std::size_t out, std::size_t image_size)
      : start(std::ptrdiff_t(out * shape.stride[axis]) - std::ptrdiff_t(shape.padding[axis])) {
    const auto dilation = std::ptrdiff_t(shape.dilation[axis]), taps = std::ptrdiff_t(shape.kernel_size[axis]);
    const std::ptrdiff_t room = std::ptrdiff_t(image_size) - start;  // tap k is inside if k * dilation < room
    if (start >= 0 && (taps - 1) * dilation < room) {                // nearly always
      begin = 0;
      end = std::size_t(taps);
      return;
    }
    const std::ptrdiff_t before = start < 0 ? (-start + dilation - 1) / dilation : 0;
    const std::ptrdiff_t after = room > 0 ? (room + dilation - 1) / dilation : 0;
    begin = std::size_t(std::min(before, taps));
    end = std::size_t(std::clamp(after, std::ptrdiff_t(begin), taps));
  }
};

/// Visits the taps of output pixels [first, first + count); `patch` counts these pixels from 0. Calls inside(patch,
/// tap, pixel, taps) for each run of `taps` taps, from `tap` on, that lie on consecutive pixels of the image, from
/// `pixel` on, and outside(patch, tap_begin, tap_end) for each range of taps outside the image.
void for_each_tap_run(const ConvShape& shape, const ImageShape& x, const ImageShape& y, std::size_t first,
                      std::size_t count, auto inside, auto outside) {
  const std::size_t width = shape.kernel_size[1], longest_run = shape.dilation[1] == 1 ? width : 1;
  const auto visit_patch = [&](std::size_t patch, std::size_t image, const TapRange& down, const TapRange& across) {
    outside(patch, 0, down.begin * width);
    for (std::size_t a = down.begin; a < down.end; ++a) {
      const std::size_t line =
          (image * x.height + std::size_t(down.start + std::ptrdiff_t(a * shape.dilation[0]))) * x.width;
      outside(patch, a * width, a * width + across.begin);
      for (std::size_t b = across.begin; b < across.end; b += longest_run)
        inside(patch, a * width + b, line + std::size_t(across.start + std::ptrdiff_t(b * shape.dilation[1])),
               std::min(longest_run, across.end - b));
      outside(patch, a * width + across.end, (a + 1) * width);
    }
    outside(patch, down.end * width, shape.taps());
  };
  for (std::size_t patch = 0; patch < count;) {
    const std::size_t row = (first + patch) / y.width, image = row / y.height;
    const TapRange down(shape, 0, row % y.height, x.height);
    for (std::size_t column = (first + patch) % y.width; column < y.width && patch < count; ++column)
      visit_patch(patch++, image, down, TapRange(shape, 1, column, x.width));
  }
}

/// for_each_tap_run() that calls inside(patch, tap, pixel) for every tap instead of every run.
void for_each_tap(const ConvShape& shape, const ImageShape& x, const ImageShape& y, std::size_t first,
                  std::size_t count, auto inside, auto outside) {
  for_each_tap_run(
      shape, x, y, first, count,
      [&](std::size_t patch, std::size_t tap, std::size_t pixel, std::size_t taps) {
        for (std::size_t k = 0; k < taps; ++k) inside(patch, tap + k, pixel + k);
      },
      outside);
}

}  // namespace repopt::nn::engine
