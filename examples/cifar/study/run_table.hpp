// RunTable: a CSV file of a study with lines for each finished run.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/csv.hpp"
#include "study/plan.hpp"

namespace repopt_cifar::study {

/// A file of the study's folder. The first columns are the run's key: model, variant, lr, epochs and seed.
class RunTable {
 public:
  static constexpr std::size_t key_columns = 5;

  /// A run's key and the text of the columns behind it.
  using Line = std::pair<RunKey, std::string>;

  /// `columns` are the names of the columns behind the key, between commas.
  constexpr RunTable(std::string_view file, std::string_view columns) : file_(file), columns_(columns) {}

  /// Whether OUT has the file, and it has these columns. If not, read() returns nothing or throws.
  bool fits(const std::filesystem::path& out) const;

  /// Returns the text of a file with these lines.
  std::string text(const std::vector<Line>& lines) const;

  /// Reads the lines of all runs. Returns none if there is no file. Throws std::runtime_error that names a wrong line.
  std::vector<std::pair<RunKey, CsvLine>> read(const std::filesystem::path& out) const;

  /// Writes the lines of a run in place of those that the file has of it. `lines` are the texts behind the key. Other
  /// processes may write lines at the same time.
  void put(const std::filesystem::path& out, const RunKey& key, const std::vector<std::string>& lines) const;

 private:
  std::string header() const;

  std::string_view file_, columns_;
};

}  // namespace repopt_cifar::study
