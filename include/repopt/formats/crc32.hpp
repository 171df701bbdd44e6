// Crc32: the checksum of zip and PNG files, hence of PyTorch's checkpoints, too.
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

/// [zeros][byte]: what the byte adds to the remainder, with that many zero bytes behind it.
inline constexpr auto crc32_tables = [] {
  constexpr std::uint32_t polynomial = 0xedb88320;  // of IEEE 802.3, lowest bit first
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

/// CRC-32 of IEEE 802.3: zlib's crc32(). It finds every flipped bit and every damage of up to 32 bits in a row, and
/// misses one in 4e9 of all others.
class Crc32 {
 public:
  /// Goes on with these bytes.
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

  /// The checksum of all bytes so far.
  std::uint32_t value() const { return ~remainder_; }

  /// The value in eight hexadecimal digits.
  std::string text() const {
    std::string digits;
    for (int shift = 28; shift >= 0; shift -= 4) digits += "0123456789abcdef"[value() >> shift & 15];
    return digits;
  }

 private:
  std::uint32_t remainder_ = ~std::uint32_t(0);
};

/// A CRC-32 in the metadata of a safetensors file, of the whole file with '0' for each of its digits. The format itself
/// has no checksum.
struct Checksum {
  static constexpr std::string_view key = "repopt.crc32";  ///< among the metadata
  static constexpr std::string_view blank = "00000000";    ///< in place of its digits

  /// Where the digits begin in a header as the writer makes it; npos if there are none. The text that is looked for is
  /// not part of any name or value: there, quotation marks are escaped.
  static std::size_t find(std::string_view header) {
    const std::string before = concat("\"", key, "\":\"");
    const auto found = header.find(before);
    const bool whole = found != header.npos && found + before.size() + blank.size() <= header.size();
    return whole ? found + before.size() : header.npos;
  }
};

}  // namespace repopt::formats
