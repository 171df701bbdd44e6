// Fuzz target: whatever the bytes are, they are scales that fit, in either precision, or std::runtime_error is thrown.
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "repopt/formats/scales_file.hpp"

namespace {

const repopt::ScaleLengths expected{
    {"stage0.scale_1x1.weight", 1}, {"stage0.scale_conv.weight", 1}, {"stage1.0.scale_identity.weight", 2}};

template <std::floating_point T>
void read(std::span<const std::byte> bytes) {
  using namespace repopt::formats;
  try {
    bind_scales(read_scales<T>(Safetensors::parse({bytes.begin(), bytes.end()}, "input")), expected);
  } catch (const std::runtime_error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  read<float>(std::as_bytes(std::span(data, size)));
  read<double>(std::as_bytes(std::span(data, size)));
  return 0;
}
