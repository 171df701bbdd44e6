// CSV files: numbers and words between commas, without quotes, read strictly.
#pragma once

#include <charconv>
#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "repopt/base/error.hpp"

namespace repopt_cifar {

/// A line below the header.
struct CsvLine {
  std::string where;                ///< "study.csv, line 2", for messages
  std::vector<std::string> fields;  ///< as many as the header's

  /// A field as a number. Throws std::runtime_error if it is none.
  template <class Number>
  Number number(std::size_t column) const {
    const std::string& field = fields.at(column);
    Number value{};
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size())
      throw std::runtime_error(repopt::concat(where, ": '", field, "' is no number that belongs there"));
    return value;
  }
};

/// The lines of a file whose first one is `header`. Throws std::runtime_error, naming `source` and the line, if that
/// is another or a line has another number of fields.
std::vector<CsvLine> read_csv(const std::string& text, std::string_view header, const std::string& source);

/// A whole file as text. Throws std::runtime_error that names it.
std::string read_text(const std::filesystem::path& path);

}  // namespace repopt_cifar
