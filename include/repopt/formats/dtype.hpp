// Dtype: the element types of the safetensors format, and other definitions that its reader and writer share.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "repopt/base/error.hpp"

namespace repopt::formats {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian, and elements are copied");
static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559);

/// The longest header that the safetensors format allows, in bytes.
inline constexpr std::size_t max_header_length = 100'000'000;

/// An element type: its name in the file and its size.
struct Dtype {
  std::string_view name;  ///< e.g. "F32"
  std::size_t size = 0;   ///< bytes of one element

  constexpr bool operator==(const Dtype&) const = default;
};

/// The known element types. A file may contain no others.
inline constexpr std::array<Dtype, 15> dtypes{{{"F64", 8},
                                               {"I64", 8},
                                               {"U64", 8},
                                               {"F32", 4},
                                               {"I32", 4},
                                               {"U32", 4},
                                               {"F16", 2},
                                               {"BF16", 2},
                                               {"I16", 2},
                                               {"U16", 2},
                                               {"I8", 1},
                                               {"U8", 1},
                                               {"BOOL", 1},
                                               {"F8_E4M3", 1},
                                               {"F8_E5M2", 1}}};

/// Finds the element type of that name; nothing if it is unknown.
constexpr std::optional<Dtype> find_dtype(std::string_view name) {
  const auto found = std::ranges::find(dtypes, name, &Dtype::name);
  return found == dtypes.end() ? std::nullopt : std::optional(*found);
}

/// The C++ types to which a tensor can be read and from which it can be written.
template <class T>
concept TensorElement = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int64_t> ||
    std::same_as<T, std::uint64_t> || std::same_as<T, std::int32_t> || std::same_as<T, std::int8_t> ||
    std::same_as<T, std::uint8_t>;

/// The element type that T has in a file.
template <TensorElement T>
inline constexpr Dtype dtype_of = *find_dtype(std::same_as<T, float>          ? "F32"
                                              : std::same_as<T, double>       ? "F64"
                                              : std::same_as<T, std::int64_t> ? "I64"
                                              : sizeof(T) == 8                ? "U64"
                                              : std::same_as<T, std::int32_t> ? "I32"
                                              : std::same_as<T, std::int8_t>  ? "I8"
                                                                              : "U8");

/// The product of `shape` and `element_size`; nothing if it is too large for std::size_t.
constexpr std::optional<std::size_t> byte_count(std::span<const std::size_t> shape, std::size_t element_size = 1) {
  std::size_t bytes = element_size;
  for (const std::size_t dimension : shape) {
    if (dimension != 0 && bytes > std::numeric_limits<std::size_t>::max() / dimension) return std::nullopt;
    bytes *= dimension;
  }
  return bytes;
}

/// The shape as text for messages: "[16, 8, 3, 3]".
inline std::string describe(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (const std::size_t dimension : shape) text += concat(text.size() > 1 ? ", " : "", dimension);
  return text + "]";
}

}  // namespace repopt::formats
