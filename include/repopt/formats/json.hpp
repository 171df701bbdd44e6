// JSON read strictly: no duplicate keys, no deep nesting, and integers that are integers.
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

/// Parses one JSON value. Throws std::runtime_error, beginning with `where`, if it is malformed, has a key twice in one
/// object (the parser alone would keep the last without a word), or nests deeper than 16.
inline nlohmann::json parse_json(std::string_view text, const std::string& where) {
  constexpr int max_depth = 16;
  // The parser takes a zero byte for the end of its input.
  require_file(text.find('\0') == text.npos, where, ": a zero byte in JSON, at ", text.find('\0'));
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

/// Throws std::invalid_argument unless `text` is UTF-8, which the formats' texts must be.
inline void require_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
  } catch (const nlohmann::json::exception& error) {
    throw std::invalid_argument(concat("no text for a file: ", error.what()));
  }
}

/// A value as text, for messages; strings that are no UTF-8 are no obstacle, and long ones are cut.
inline std::string brief(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  constexpr std::size_t longest = 80;
  if (text.size() > longest) text.replace(longest, text.npos, "...");
  return text;
}

/// A member of an object. Throws std::runtime_error if `object` is none, or has no such member.
inline const nlohmann::json& member(const nlohmann::json& object, const char* key, const std::string& where) {
  require_file(object.is_object(), where, " must be an object, it is ", brief(object));
  const auto found = object.find(key);
  require_file(found != object.end(), where, " lacks '", key, "'");
  return *found;
}

/// A non-negative integer; neither -1 nor 2.0 is one. Throws std::runtime_error.
inline std::size_t to_size(const nlohmann::json& value, const std::string& where) {
  require_file(value.is_number_unsigned() && std::in_range<std::size_t>(value.get<std::uint64_t>()), where,
               " must be a non-negative integer, it is ", brief(value));
  return value.get<std::size_t>();
}

/// An array of non-negative integers. Throws std::runtime_error.
inline std::vector<std::size_t> to_sizes(const nlohmann::json& value, const std::string& where) {
  require_file(value.is_array(), where, " must be an array, it is ", brief(value));
  std::vector<std::size_t> sizes;
  for (const nlohmann::json& element : value) sizes.push_back(to_size(element, where));
  return sizes;
}

/// A string. Throws std::runtime_error.
inline const std::string& to_text(const nlohmann::json& value, const std::string& where) {
  require_file(value.is_string(), where, " must be a string, it is ", brief(value));
  return value.get_ref<const std::string&>();
}

}  // namespace repopt::formats
