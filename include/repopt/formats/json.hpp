// Strict reading of JSON: no duplicate keys, no deep nesting, and no numbers with a fraction in place of integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/file.hpp"

namespace repopt::formats {

/// Parses one JSON value. Throws std::runtime_error if the text is malformed, if an object has a key twice (the parser
/// alone would silently keep the last), or if values nest deeper than 16 levels. The message begins with `where`.
inline nlohmann::json parse_json(std::string_view text, const std::string& where) {
  constexpr int max_depth = 16;
  // The parser treats a zero byte as the end of its input.
  require_file(text.find('\0') == text.npos, where, ": the JSON text has a zero byte at index ", text.find('\0'));
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    require_file(depth <= max_depth, where, ": JSON nested deeper than ", max_depth);
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      require_file(keys.back().insert(key).second, where, ": duplicate key '", key, "'");
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(concat(where, ": ", error.what()));
  }
}

/// Returns a value as text for a file. Throws std::invalid_argument if a string in it is not UTF-8, which all text in
/// the formats must be.
inline std::string dump(const nlohmann::json& value) {
  try {
    return value.dump();
  } catch (const nlohmann::json::exception& error) {
    throw std::invalid_argument(concat("a text for a file is not UTF-8: ", error.what()));
  }
}

/// Throws std::invalid_argument unless `text` is UTF-8.
inline void require_utf8(const std::string& text) { static_cast<void>(dump(text)); }

/// A value as text for messages. It may contain strings that are not UTF-8. Long text is cut.
inline std::string brief(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  constexpr std::size_t longest = 80;
  if (text.size() > longest) text.replace(longest, text.npos, "...");
  return text;
}

/// A member of an object. Throws std::runtime_error if `object` is not an object or has no such member.
inline const nlohmann::json& member(const nlohmann::json& object, const char* key, const std::string& where) {
  require_file(object.is_object(), where, " must be an object, it is ", brief(object));
  const auto found = object.find(key);
  require_file(found != object.end(), where, " lacks '", key, "'");
  return *found;
}

/// Converts a value to a non-negative integer. Throws std::runtime_error if it is anything else, such as -1 or 2.0.
inline std::size_t to_size(const nlohmann::json& value, const std::string& where) {
  require_file(value.is_number_unsigned() && std::in_range<std::size_t>(value.get<std::uint64_t>()), where,
               " must be a non-negative integer, it is ", brief(value));
  return value.get<std::size_t>();
}

/// Converts an array of non-negative integers. Throws std::runtime_error if the value is anything else.
inline std::vector<std::size_t> to_sizes(const nlohmann::json& value, const std::string& where) {
  require_file(value.is_array(), where, " must be an array, it is ", brief(value));
  std::vector<std::size_t> sizes;
  for (const nlohmann::json& element : value) sizes.push_back(to_size(element, where));
  return sizes;
}

/// Returns the text of a string. Throws std::runtime_error if the value is anything else.
inline const std::string& to_text(const nlohmann::json& value, const std::string& where) {
  require_file(value.is_string(), where, " must be a string, it is ", brief(value));
  return value.get_ref<const std::string&>();
}

}  // namespace repopt::formats
