// Errors: one function that turns a broken precondition into an exception with a readable message.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace repopt {

namespace detail {

inline void append(std::string& text, std::string_view part) { text += part; }

template <class Number>
  requires(std::integral<Number> || std::floating_point<Number>)
void append(std::string& text, Number part) {
  std::array<char, 64> digits;
  text.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), part).ptr);
}

}  // namespace detail

/// Joins the parts (strings and numbers) into one text. Reading a number back from the text gives the same number.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (detail::append(text, parts), ...);
  return text;
}

#ifdef __cpp_exceptions

namespace detail {

[[noreturn]] inline void fail(const std::string& message) { throw std::invalid_argument(message); }

}  // namespace detail

#else

/// Receives every error message in a build with -fno-exceptions, where nothing can be thrown. Replace it with a
/// function of your own, which must not return. The default aborts the program.
inline void (*error_handler)(const char* message) = [](const char*) { std::abort(); };

namespace detail {

[[noreturn]] inline void fail(const std::string& message) {
  error_handler(message.c_str());
  std::abort();
}

}  // namespace detail

#endif

/// Throws std::invalid_argument with the concatenated `message` unless `condition` holds.
template <class... Parts>
constexpr void require(bool condition, const Parts&... message) {
  if (!condition) detail::fail(concat(message...));
}

}  // namespace repopt
