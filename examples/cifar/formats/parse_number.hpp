// parse_number: reads a text that is a number and nothing else.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdlib>
#include <optional>
#include <string>
#include <system_error>

namespace repopt_cifar {

/// Reads a whole number. Returns nothing if `text` is not a decimal number or does not fit the type.
template <std::integral Number>
std::optional<Number> parse_number(const std::string& text) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

/// Reads a floating-point number. "inf", "-inf" and "nan" are numbers. Returns nothing if `text` is not a decimal
/// number or is too large for the type. It calls strtod(), in the locale "C" that the program never changes, because
/// libc++ before version 20 has no std::from_chars() for floating-point numbers.
template <std::floating_point Number>
std::optional<Number> parse_number(const std::string& text) {
  const bool is_decimal = text.find_first_of("0123456789") != text.npos;
  if (text.find_first_not_of("+-.0123456789einfa") != text.npos || text.starts_with('+')) return std::nullopt;
  char* stop = nullptr;
  const auto value = static_cast<Number>(std::strtod(text.c_str(), &stop));
  const bool is_number = !text.empty() && stop == text.data() + text.size() && !(is_decimal && std::isinf(value));
  return is_number ? std::optional(value) : std::nullopt;
}

}  // namespace repopt_cifar
