// Fuzz target: whatever the bytes are, the safetensors reader reads them or throws std::runtime_error, and what it read
// can be asked for, as tensors of their types and as an optimizer's state.
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "repopt/formats/optimizer_file.hpp"
#include "repopt/formats/safetensors.hpp"

namespace {

using repopt::formats::Safetensors;

/// Reads the tensor as whichever of these types it is.
template <class... T>
void read_as(const Safetensors& file, const std::string& name) {
  const auto dtype = file.info(name).dtype;
  (void(dtype == repopt::formats::dtype_of<T> && file.tensor<T>(name).empty()), ...);
  if (dtype == repopt::formats::dtype_of<float>) file.tensor<double>(name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto file = Safetensors::parse({bytes.begin(), bytes.end()}, "input");
    for (const std::string& name : file.names())
      read_as<float, double, std::int64_t, std::uint64_t, std::int32_t, std::int8_t, std::uint8_t>(file, name);
    const repopt::formats::SavedOptimizer<float> optimizer(file);
  } catch (const std::runtime_error&) {
  }
  return 0;
}
