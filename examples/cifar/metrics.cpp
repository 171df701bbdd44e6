#include "metrics.hpp"

#include <array>
#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "repopt/core/error.hpp"

namespace repopt_cifar {

using repopt::concat;

namespace {

constexpr const char* header = "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,images_per_second,seconds";
constexpr std::size_t columns = 8;

}  // namespace

std::string to_csv(const std::vector<EpochMetrics>& metrics) {
  std::string text = concat(header, "\n");
  for (const EpochMetrics& m : metrics)
    text += concat(m.epoch, ",", m.lr, ",", m.train_loss, ",", m.train_accuracy, ",", m.test_loss, ",", m.test_accuracy,
                   ",", m.images_per_second, ",", m.seconds, "\n");
  return text;
}

std::vector<EpochMetrics> from_csv(const std::string& text, const std::string& source) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != header)
    throw std::runtime_error(concat(source, ": the first line is '", line, "', it should be '", header, "'"));
  std::vector<EpochMetrics> metrics;
  for (std::size_t number = 2; std::getline(lines, line); ++number) {
    std::istringstream fields(line);
    std::array<double, columns> v{};
    std::size_t count = 0;
    for (std::string field; std::getline(fields, field, ','); ++count) {
      std::size_t used = 0;
      try {
        if (count < columns) v[count] = std::stod(field, &used);
      } catch (const std::exception&) {
      }
      if (used != field.size() || field.empty())
        throw std::runtime_error(concat(source, ", line ", number, ": '", field, "' is no number"));
    }
    if (count != columns)
      throw std::runtime_error(concat(source, ", line ", number, " has ", count, " fields, not ", columns));
    if (!(v[0] >= 1 && v[0] <= 1e9 && v[0] == std::floor(v[0])))
      throw std::runtime_error(concat(source, ", line ", number, ": epoch ", v[0], " is no whole number from 1 on"));
    metrics.push_back({static_cast<std::size_t>(v[0]), v[1], v[2], v[3], v[4], v[5], v[6], v[7]});
  }
  return metrics;
}

std::vector<EpochMetrics> read_metrics(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "metrics.csv";
  std::ifstream file(path);
  if (!file) throw std::runtime_error(concat("cannot read ", path.string(), ": is it the --out folder of a run?"));
  std::ostringstream text;
  text << file.rdbuf();
  return from_csv(text.str(), path.string());
}

}  // namespace repopt_cifar
