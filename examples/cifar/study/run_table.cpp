#include "study/run_table.hpp"

#include <cstddef>
#include <cstdint>

#include "formats/file_lock.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

std::string columns_behind_key(const CsvLine& line) {
  std::string text;
  for (std::size_t i = RunTable::key_columns; i < line.fields.size(); ++i)
    text.append(i == RunTable::key_columns ? "" : ",").append(line.fields[i]);
  return text;
}

}  // namespace

std::string RunTable::header() const { return concat("model,variant,lr,epochs,seed,", columns_); }

bool RunTable::fits(const std::filesystem::path& out) const {
  return std::filesystem::exists(out / file_) && read_text(out / file_).starts_with(header() + "\n");
}

std::string RunTable::text(const std::vector<Line>& lines) const {
  std::string text = header() + "\n";
  for (const auto& [key, columns] : lines)
    text += concat(key.model, ",", key.variant, ",", key.lr, ",", key.epochs, ",", key.seed, ",", columns, "\n");
  return text;
}

std::vector<std::pair<RunKey, CsvLine>> RunTable::read(const std::filesystem::path& out) const {
  const std::filesystem::path path = out / file_;
  std::vector<std::pair<RunKey, CsvLine>> lines;
  if (!std::filesystem::exists(path)) return lines;
  for (CsvLine& line : read_csv(read_text(path), header(), path.string())) {
    RunKey key{line.fields[0], line.fields[1], line.number<double>(2), line.number<std::size_t>(3),
               line.number<std::uint64_t>(4)};
    lines.emplace_back(std::move(key), std::move(line));
  }
  return lines;
}

void RunTable::put(const std::filesystem::path& out, const RunKey& key, const std::vector<std::string>& lines) const {
  const FileLock lock(out / "study.csv.lock", FileLock::Wait::yes);
  std::vector<Line> all;
  for (const auto& [other, line] : read(out))
    if (other != key) all.emplace_back(other, columns_behind_key(line));
  for (const std::string& line : lines) all.emplace_back(key, line);
  repopt::formats::write_file(out / file_, text(all));
}

}  // namespace repopt_cifar::study
