// CSV files: numbers and words between commas. There are no quotes, and wrong lines are refused.
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "formats/parse_number.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar {

/// A line below the header line.
struct CsvLine {
  std::string where;                ///< "study.csv, line 2", for messages
  std::vector<std::string> fields;  ///< the values, one for each column of the header

  /// Returns a field as a number. Throws std::runtime_error if it is not a number of this type.
  template <class Number>
  Number number(std::size_t column) const {
    const std::string& field = fields.at(column);
    const auto value = parse_number<Number>(field);
    if (!value) throw std::runtime_error(repopt::concat(where, ": '", field, "' is not a valid number"));
    return *value;
  }
};

/// Reads the lines below the first line, which must be `header`. Throws std::runtime_error, naming `source` and the
/// line, if the first line differs or a line has another number of fields.
std::vector<CsvLine> read_csv(const std::string& text, std::string_view header, const std::string& source);

/// Reads a whole file. Throws std::runtime_error that names the file if it cannot be read.
std::string read_text(const std::filesystem::path& path);

}  // namespace repopt_cifar
