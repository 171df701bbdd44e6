#include "study/records.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>

#include "formats/csv.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/scales_file.hpp"
#include "study/kernels.hpp"
#include "study/run_table.hpp"
#include "training/metrics.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr RunTable curve_table("curves.csv", "epoch,train_loss,test_loss,test_accuracy,processor_seconds");
constexpr RunTable kernel_table("kernels.csv", "block,weights,deviation,largest,histogram");
constexpr RunTable scale_table("scales.csv", "scale,values");
constexpr std::size_t first = RunTable::key_columns;

/// Numbers in one field, with spaces between them.
/// @{
std::string list(const auto& numbers) {
  std::string text;
  for (const auto number : numbers) text += concat(text.empty() ? "" : " ", number);
  return text;
}

template <class Number>
std::vector<Number> numbers(const CsvLine& line, std::size_t column) {
  std::istringstream words(line.fields.at(column));
  std::vector<Number> result;
  for (std::string word; words >> word;) result.push_back(CsvLine{line.where, {word}}.number<Number>(0));
  return result;
}
/// @}

std::vector<std::string> curve_lines(const std::filesystem::path& folder, const RunResult& result) {
  std::vector<std::string> lines;
  for (const EpochMetrics& m : read_metrics(folder))
    lines.push_back(concat(m.epoch, ",", m.train_loss, ",", m.test_loss, ",", m.test_accuracy, ",",
                           double(m.epoch) * result.processor_seconds_per_epoch));
  return lines;
}

std::vector<std::string> kernel_lines(const std::filesystem::path& weights) {
  std::vector<std::string> lines;
  for (const auto& [block, kernel] : deployed_kernels(weights)) {
    const KernelStatistics of = kernel_statistics(block, kernel);
    lines.push_back(concat(block, ",", of.weights, ",", of.deviation, ",", of.largest, ",", list(of.histogram)));
  }
  return lines;
}

std::vector<std::string> scale_lines(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  for (const auto& [name, values] : repopt::formats::load_scales<float>(file))
    lines.push_back(concat(name, ",", list(values)));
  return lines;
}

/// Puts into `table` what lines(folder, result) returns, if OUT/runs/RUN/`file` is there and the table has no line of
/// the run or one with an empty last field.
void add_from(const StudyOptions& options, const RunTable& table, const std::vector<RunResult>& results,
              const char* file, auto lines) {
  std::map<std::string, bool> is_complete;  // by the run's name
  for (const auto& [key, line] : table.read(options.out)) {
    bool& complete = is_complete.try_emplace(key.name(), true).first->second;
    complete = complete && !line.fields.back().empty();
  }
  for (const RunResult& result : results) {
    const std::filesystem::path folder = run_folder(options, result.key.name());
    if (!is_complete[result.key.name()] && std::filesystem::exists(folder / file))
      table.put(options.out, result.key, lines(folder, result));
  }
}

}  // namespace

const RunRecords& Records::of(const std::string& run) const {
  static const RunRecords none{};
  const auto found = runs.find(run);
  return found == runs.end() ? none : found->second;
}

std::map<std::string, double> Records::epoch_seconds(const std::string& model) const {
  const auto found = seconds.find(model);
  return found == seconds.end() ? std::map<std::string, double>{} : found->second;
}

Records read_records(const std::filesystem::path& out) {
  Records records;
  for (const auto& [key, line] : curve_table.read(out)) {
    const auto epoch = line.number<std::size_t>(first);
    if (epoch == 0 || epoch > key.epochs)
      throw std::runtime_error(concat(line.where, ": the epoch is ", epoch, ", the run has 1 to ", key.epochs));
    records.runs[key.name()].curve.push_back({epoch, line.number<double>(first + 1), line.number<double>(first + 2),
                                              line.number<double>(first + 3), line.number<double>(first + 4)});
  }
  for (const auto& [key, line] : kernel_table.read(out))
    records.runs[key.name()].kernels.push_back({line.fields[first], line.number<std::size_t>(first + 1),
                                                line.number<double>(first + 2), line.number<double>(first + 3),
                                                numbers<std::size_t>(line, first + 4)});
  for (const auto& [key, line] : scale_table.read(out))
    records.runs[key.name()].scales[line.fields[first]] = numbers<float>(line, first + 1);
  if (const std::filesystem::path path = out / "seconds.csv"; std::filesystem::exists(path))
    for (const CsvLine& line : read_csv(read_text(path), "model,variant,seconds_per_epoch", path.string()))
      records.seconds[line.fields[0]][line.fields[1]] = line.number<double>(2);
  return records;
}

void add_records(const StudyOptions& options) {
  const std::vector<RunResult> results = read_results(options.out);
  add_from(options, curve_table, results, "metrics.csv", curve_lines);
  add_from(options, kernel_table, results, "model.safetensors",
           [](const auto& folder, const RunResult&) { return kernel_lines(folder / "model.safetensors"); });
  add_from(options, scale_table, results, "scales.safetensors",
           [](const auto& folder, const RunResult&) { return scale_lines(folder / "scales.safetensors"); });
}

}  // namespace repopt_cifar::study
