// parse(): reads the text of a safetensors file.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "repopt/formats/safetensors.hpp"

namespace repopt::testing {

/// Reads a file from memory. Messages call it "the file".
inline formats::Safetensors parse(std::string_view file) {
  const auto bytes = std::as_bytes(std::span(file));
  return formats::Safetensors::parse(std::vector<std::byte>(bytes.begin(), bytes.end()), "the file");
}

}  // namespace repopt::testing
