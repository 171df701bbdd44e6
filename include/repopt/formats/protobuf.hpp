// ProtobufMessage: writes the wire format of protocol buffers (https://protobuf.dev/programming-guides/encoding).
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "repopt/base/error.hpp"

namespace repopt::formats {

/// A message, written field by field. Add fields by rising number to get the same bytes as other writers.
class ProtobufMessage {
 public:
  /// The size in bytes of the largest message that readers accept.
  static constexpr std::size_t max_size = std::numeric_limits<std::int32_t>::max();

  /// Adds a field of type int32, int64, uint32, uint64, bool or enum.
  void add(std::uint32_t field, std::integral auto value) {
    varint(tag(field, 0));
    varint(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
  }

  /// Adds a field of type float.
  void add(std::uint32_t field, float value) {
    varint(tag(field, 5));
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xff);
  }

  /// Adds a field of type bytes, or of type string if `value` is UTF-8. Throws std::invalid_argument if `value` is
  /// longer than max_size.
  void add(std::uint32_t field, std::string_view value) {
    require(value.size() <= max_size, "field ", field, " has ", value.size(), " bytes, protocol buffers take at most ",
            max_size);
    varint(tag(field, 2));
    varint(value.size());
    bytes_ += value;
  }

  /// Adds a message as a field of this message. Throws std::invalid_argument if `value` is longer than max_size.
  void add(std::uint32_t field, const ProtobufMessage& value) { add(field, std::string_view(value.bytes_)); }

  /// Appends the fields of another message of the same type.
  void append(const ProtobufMessage& other) { bytes_ += other.bytes_; }

  /// The encoded bytes of all fields.
  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr std::uint64_t tag(std::uint32_t field, unsigned wire_type) {
    return std::uint64_t(field) << 3 | wire_type;
  }

  /// Writes seven bits in each byte, the lowest first. The top bit of a byte says that another byte follows.
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace repopt::formats
