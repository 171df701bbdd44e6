// Crc32: the checksum that zip and PNG files have, and so PyTorch's checkpoints too.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "repopt/formats/dtype.hpp"

namespace repopt::formats {

namespace detail {

/// crc32_tables[zeros][byte] is the remainder of a byte that is followed by that many zero bytes.
inline constexpr auto crc32_tables = [] {
  constexpr std::uint32_t polynomial = 0xedb88320;  // IEEE 802.3's polynomial, lowest bit first
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) remainder = remainder >> 1 ^ (remainder & 1 ? polynomial : 0);
    tables[0][byte] = remainder;
  }
  for (std::size_t zeros = 1; zeros < tables.size(); ++zeros)
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[zeros - 1][byte];
      tables[zeros][byte] = before >> 8 ^ tables[0][before & 255];
    }
  return tables;
}();

}  // namespace detail

/// The CRC-32 of IEEE 802.3, as zlib's crc32() computes it. It detects every flipped bit and all damage that lies
/// within 32 consecutive bits. It misses about one in 4e9 of all other kinds of damage.
class Crc32 {
 public:
  /// Adds bytes to the checksum.
  void add(std::span<const std::byte> bytes) {
    const auto& tables = detail::crc32_tables;
    for (; bytes.size() >= tables.size(); bytes = bytes.subspan(tables.size())) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data(), sizeof word);  // little-endian, as dtype.hpp asserts
      word ^= remainder_;
      remainder_ = 0;
      for (std::size_t i = 0; i < tables.size(); ++i) remainder_ ^= tables[tables.size() - 1 - i][word >> 8 * i & 255];
    }
    for (const std::byte byte : bytes)
      remainder_ = remainder_ >> 8 ^ tables[0][(remainder_ ^ std::to_integer<std::uint32_t>(byte)) & 255];
  }

  /// The same for text.
  void add(std::string_view text) { add(std::as_bytes(std::span(text))); }

  /// The checksum of all bytes that were added.
  std::uint32_t value() const { return ~remainder_; }

  /// The checksum in eight hexadecimal digits.
  std::string text() const {
    std::string digits;
    for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[value() >> shift & 15];
    return digits;
  }

 private:
  std::uint32_t remainder_ = ~std::uint32_t(0);
};

/// The CRC-32 in the metadata of a safetensors file. It is computed over the whole file, with '0' in place of each of
/// its own digits. The format itself has no checksum.
struct Checksum {
  static constexpr std::string_view key = "repopt.crc32";  ///< its key in the metadata
  /// The digits that stand in its place while it is computed.
  static constexpr std::string_view blank = "00000000";

  /// The place in the writer's header where the digits begin; npos if there are none. No name or value can contain the
  /// text that is searched for, because quotation marks are escaped there.
  static std::size_t find(std::string_view header) {
    const std::string before = concat("\"", key, "\":\"");
    const auto found = header.find(before);
    const bool whole = found != header.npos && found + before.size() + blank.size() <= header.size();
    return whole ? found + before.size() : header.npos;
  }
};

}  // namespace repopt::formats
