#include "study/fine_tuning.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "formats/csv.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "study/measurements.hpp"
#include "study/results.hpp"
#include "study/run_table.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr RunTable fine_tuned_table("fine_tuned.csv",
                                    "bits,split_identity,fine_tune_epochs,float_accuracy_before,int_accuracy_before,"
                                    "float_accuracy,int_accuracy");

/// Networks are fine-tuned for these bits. With more bits the split alone keeps their accuracy.
constexpr int fine_tuned_bits[] = {5, 4};

std::vector<std::string> quantize_arguments(const FineTuningKey& key, std::size_t batch_size) {
  std::vector<std::string> arguments{"quantize"};
  const auto add = [&](const char* option, const auto& value) {
    arguments.insert(arguments.end(), {option, concat(value)});
  };
  add("--scheme", "per-tensor");
  add("--weight-bits", key.bits);
  add("--activation-bits", key.bits);
  if (key.split_identity > 0) arguments.push_back(concat("--split-identity=", key.split_identity));
  add("--fine-tune-epochs", key.epochs);
  add("--batch-size", batch_size);
  add("--seed", key.run.seed);
  return arguments;
}

/// Reads a result from the JSON of `repopt-cifar quantize`. Throws std::runtime_error if the file is wrong.
FineTuningResult result_of(const FineTuningKey& key, const std::filesystem::path& path) {
  try {
    const auto json = nlohmann::json::parse(read_text(path));
    const auto& before = json.at("before_fine_tuning");
    return {key, before.at("float_accuracy"), before.at("int8_accuracy"), json.at("float_accuracy"),
            json.at("int8_accuracy")};
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(concat(path.string(), ": ", error.what()));
  }
}

}  // namespace

std::vector<FineTuningKey> fine_tuning_keys(const RunKey& run, std::size_t epochs) {
  const bool can_split = has_centre_diagonals(repopt::nn::vgg_preset(run.model));
  std::vector<FineTuningKey> keys;
  for (const int bits : fine_tuned_bits) {
    keys.push_back({run, bits, 0, epochs});
    if (can_split) keys.push_back({run, bits, sweep_split_identity, epochs});
  }
  return keys;
}

std::string to_csv(const std::vector<FineTuningResult>& results) {
  std::vector<RunTable::Line> lines;
  for (const auto& [key, float_before, int_before, float_after, int_after] : results)
    lines.emplace_back(key.run, concat(key.bits, ",", key.split_identity, ",", key.epochs, ",", float_before, ",",
                                       int_before, ",", float_after, ",", int_after));
  return fine_tuned_table.text(lines);
}

std::vector<FineTuningResult> read_fine_tuning(const std::filesystem::path& out) {
  std::vector<FineTuningResult> results;
  for (const auto& [run, line] : fine_tuned_table.read(out)) {
    const std::size_t first = RunTable::key_columns;
    results.push_back({{run, line.number<int>(first), line.number<int>(first + 1), line.number<std::size_t>(first + 2)},
                       line.number<double>(first + 3),
                       line.number<double>(first + 4),
                       line.number<double>(first + 5),
                       line.number<double>(first + 6)});
  }
  return results;
}

void measure_fine_tuning(const StudyOptions& options, const std::vector<PlannedRun>& plan, const std::string& program,
                         std::map<std::string, std::string>& failures, const std::function<void()>& finished) {
  std::vector<FineTuningResult> tuned;
  const auto missing = [&] {
    tuned = read_fine_tuning(options.out);
    const std::vector<RunResult> trained = read_results(options.out);
    std::vector<Measurement> measurements;
    for (const PlannedRun& run : plan) {
      if (std::ranges::find(trained, run.key, &RunResult::key) == trained.end()) continue;
      if (find_variant(run.key.variant).scales == "averaged") continue;
      for (const FineTuningKey& key : fine_tuning_keys(run.key, options.fine_tune_epochs)) {
        if (std::ranges::find(tuned, key, &FineTuningResult::key) != tuned.end()) continue;
        measurements.push_back(
            {run.key, concat("fine-tuned-", key.bits, "-", key.split_identity, "-e", key.epochs),
             quantize_arguments(key, options.batch_size),
             [&, key](const std::filesystem::path& json) { tuned.push_back(result_of(key, json)); }});
      }
    }
    return measurements;
  };
  const auto save = [&] { repopt::formats::write_file(options.out / "fine_tuned.csv", to_csv(tuned)); };
  measure_networks(options, program, "fine_tuned.csv", missing, save, failures, finished);
}

}  // namespace repopt_cifar::study
