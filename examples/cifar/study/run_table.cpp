#include "study/run_table.hpp"

#include <algorithm>

#include "formats/file_lock.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"

namespace repopt_cifar::study {

using repopt::concat;

std::string RunTable::header() const { return concat("model,variant,lr,epochs,seed,", columns_); }

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

void RunTable::add(const std::filesystem::path& out, const RunKey& key, const std::vector<std::string>& lines) const {
  const FileLock lock(out / "study.csv.lock", FileLock::Wait::yes);
  if (std::ranges::any_of(read(out), [&](const auto& line) { return line.first == key; })) return;
  const std::filesystem::path path = out / file_;
  std::string text = std::filesystem::exists(path) ? read_text(path) : header() + "\n";
  for (const std::string& line : lines)
    text += concat(key.model, ",", key.variant, ",", key.lr, ",", key.epochs, ",", key.seed, ",", line, "\n");
  repopt::formats::write_file(path, text);
}

}  // namespace repopt_cifar::study
