#include "training/metrics.hpp"

#include <stdexcept>

#include "formats/csv.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar {

using repopt::concat;

namespace {

constexpr const char* header = "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,images_per_second,seconds";

}  // namespace

std::string to_csv(const std::vector<EpochMetrics>& metrics) {
  std::string text = concat(header, "\n");
  for (const EpochMetrics& m : metrics)
    text += concat(m.epoch, ",", m.lr, ",", m.train_loss, ",", m.train_accuracy, ",", m.test_loss, ",", m.test_accuracy,
                   ",", m.images_per_second, ",", m.seconds, "\n");
  return text;
}

std::vector<EpochMetrics> from_csv(const std::string& text, const std::string& source) {
  std::vector<EpochMetrics> metrics;
  for (const CsvLine& line : read_csv(text, header, source)) {
    const auto v = [&](std::size_t column) { return line.number<double>(column); };
    metrics.push_back({line.number<std::size_t>(0), v(1), v(2), v(3), v(4), v(5), v(6), v(7)});
    if (metrics.back().epoch == 0) throw std::runtime_error(line.where + ": epochs are counted from 1");
  }
  return metrics;
}

std::vector<EpochMetrics> read_metrics(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "metrics.csv";
  if (!std::filesystem::exists(path))
    throw std::runtime_error(concat("cannot read ", path.string(), ": is it the --out folder of a run?"));
  return from_csv(read_text(path), path.string());
}

}  // namespace repopt_cifar
