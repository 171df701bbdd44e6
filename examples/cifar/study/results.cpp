#include "study/results.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "formats/csv.hpp"
#include "formats/file_lock.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "training/metrics.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr const char* header =
    "model,variant,optimizer,lr,epochs,seed,test_accuracy,train_loss,seconds_per_epoch,processor_seconds_per_epoch,"
    "peak_memory_mb,parameters,threads,data,train_images,test_images,batch_size,search_epochs";

}  // namespace

std::string describe(const Conditions& c) {
  return concat(c.train_images, " training and ", c.test_images, " test pictures of ", c.data, ", batch size ",
                c.batch_size, ", Hyper-Searches of ", c.search_epochs, " epochs");
}

std::string to_csv(const std::vector<RunResult>& results) {
  std::string text = concat(header, "\n");
  for (const RunResult& r : results)
    text += concat(r.key.model, ",", r.key.variant, ",", r.optimizer, ",", r.key.lr, ",", r.key.epochs, ",", r.key.seed,
                   ",", r.test_accuracy, ",", r.train_loss, ",", r.seconds_per_epoch, ",",
                   r.processor_seconds_per_epoch, ",", r.peak_memory_mb, ",", r.parameters, ",", r.threads, ",",
                   r.conditions.data, ",", r.conditions.train_images, ",", r.conditions.test_images, ",",
                   r.conditions.batch_size, ",", r.conditions.search_epochs, "\n");
  return text;
}

std::vector<RunResult> results_from_csv(const std::string& text, const std::string& source) {
  std::vector<RunResult> results;
  for (const CsvLine& line : read_csv(text, header, source)) {
    const auto number = [&](std::size_t column) { return line.number<double>(column); };
    const auto count = [&](std::size_t column) { return line.number<std::size_t>(column); };
    results.push_back({.key = {line.fields[0], line.fields[1], number(3), count(4), line.number<std::uint64_t>(5)},
                       .optimizer = line.fields[2],
                       .test_accuracy = number(6),
                       .train_loss = number(7),
                       .seconds_per_epoch = number(8),
                       .processor_seconds_per_epoch = number(9),
                       .peak_memory_mb = number(10),
                       .parameters = count(11),
                       .threads = line.number<int>(12),
                       .conditions = {line.fields[13], count(14), count(15), count(16), count(17)}});
  }
  return results;
}

std::vector<RunResult> read_results(const std::filesystem::path& out) {
  const std::filesystem::path path = out / "study.csv";
  return std::filesystem::exists(path) ? results_from_csv(read_text(path), path.string()) : std::vector<RunResult>{};
}

RunResult read_result(const std::filesystem::path& folder, const RunKey& key, std::size_t search_epochs) {
  const std::filesystem::path path = folder / "result.json";
  try {
    const auto json = nlohmann::json::parse(read_text(path));
    const std::size_t train_images = json.at("train_images");
    const double seconds = median_epoch_seconds(folder, train_images);
    const auto& processor = json.at("processor_seconds_per_epoch");  // null if the run was resumed after its last step
    return {
        .key = key,
        .optimizer = json.at("optimizer"),
        .test_accuracy = json.at("test_accuracy"),
        .train_loss = json.at("train_loss"),
        .seconds_per_epoch = seconds,
        .processor_seconds_per_epoch =
            processor.is_null() ? seconds * json.at("threads").get<double>() : processor.get<double>(),
        .peak_memory_mb = json.at("peak_rss_mb"),
        .parameters = json.at("parameters"),
        .threads = json.at("threads"),
        .conditions = {json.at("data"), train_images, json.at("test_images"), json.at("batch_size"), search_epochs}};
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(concat(path.string(), ": ", error.what()));
  }
}

void add_result(const std::filesystem::path& out, const RunResult& result) {
  const FileLock lock(out / "study.csv.lock", FileLock::Wait::yes);
  std::vector<RunResult> results = read_results(out);
  if (std::ranges::find(results, result.key, &RunResult::key) != results.end()) return;
  results.push_back(result);
  repopt::formats::write_file(out / "study.csv", to_csv(results));
}

double median_epoch_seconds(const std::filesystem::path& folder, std::size_t train_images) {
  std::vector<double> seconds;
  for (const EpochMetrics& m : read_metrics(folder)) seconds.push_back(double(train_images) / m.images_per_second);
  if (seconds.empty()) throw std::runtime_error(folder.string() + ": metrics.csv has no epoch");
  const auto middle = seconds.begin() + std::ptrdiff_t(seconds.size() / 2);
  std::ranges::nth_element(seconds, middle);
  return *middle;
}

}  // namespace repopt_cifar::study
