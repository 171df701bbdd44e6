#include "formats/csv.hpp"

#include <algorithm>
#include <sstream>

#include "repopt/formats/file.hpp"

namespace repopt_cifar {

std::vector<CsvLine> read_csv(const std::string& text, std::string_view header, const std::string& source) {
  std::istringstream stream(text);
  std::string line;
  if (!std::getline(stream, line) || line != header)
    throw std::runtime_error(repopt::concat(source, ": the first line is '", line, "', it should be '", header, "'"));
  const auto columns = static_cast<std::size_t>(std::ranges::count(header, ',')) + 1;
  std::vector<CsvLine> lines;
  for (std::size_t number = 2; std::getline(stream, line); ++number) {
    CsvLine& read = lines.emplace_back(CsvLine{repopt::concat(source, ", line ", number), {}});
    for (std::size_t begin = 0; begin <= line.size();) {
      const std::size_t end = std::min(line.find(',', begin), line.size());
      read.fields.push_back(line.substr(begin, end - begin));
      begin = end + 1;
    }
    if (read.fields.size() != columns)
      throw std::runtime_error(repopt::concat(read.where, " has ", read.fields.size(), " fields, not ", columns));
  }
  return lines;
}

std::string read_text(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = repopt::formats::read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace repopt_cifar
