#include "study/int8.hpp"

#include <algorithm>
#include <cstdio>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>

#include "formats/csv.hpp"
#include "formats/file_lock.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "study/child.hpp"
#include "study/summary.hpp"
#include "training/interrupt.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr const char* int8_header = "model,variant,lr,epochs,seed,scheme,calibration,float_accuracy,int8_accuracy";

std::vector<std::string> quantize_arguments(const StudyOptions& options, const std::string& program,
                                            const Int8Key& key) {
  return {program,         "quantize",
          "--weights",     (run_folder(options, key.run.name()) / "model.safetensors").string(),
          "--data",        options.data,
          "--scheme",      key.scheme,
          "--calibration", key.calibration,
          "--limit",       concat(options.limit),
          "--threads",     concat(options.threads)};
}

Int8Result read_int8_result(const Int8Key& key, const std::filesystem::path& path) {
  try {
    const auto json = nlohmann::json::parse(read_text(path));
    return {key, json.at("float_accuracy"), json.at("int8_accuracy")};
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(concat(path.string(), ": ", error.what()));
  }
}

}  // namespace

std::string Int8Key::name() const { return concat(run.name(), "-", scheme, "-", calibration); }

std::vector<Int8Key> int8_plan(const std::vector<RunResult>& results) {
  std::set<std::string> models;
  for (const RunResult& result : results) models.insert(result.key.model);
  std::vector<Int8Key> keys;
  for (const std::string& model : models) {
    const ModelSummary summary(model, results);
    for (const std::string_view variant : {"plain", "rep-searched", "repvgg", "qarepvgg"})
      if (const Group* const group = summary.best(variant, summary.usual_epochs()))
        for (const RunResult& run : group->runs())
          for (const char* scheme : {"per-tensor", "per-channel"})
            for (const char* calibration : {"min-max", "mse"}) keys.push_back({run.key, scheme, calibration});
  }
  return keys;
}

std::string to_csv(const std::vector<Int8Result>& results) {
  std::string text = concat(int8_header, "\n");
  for (const auto& [key, float_accuracy, int8_accuracy] : results)
    text += concat(key.run.model, ",", key.run.variant, ",", key.run.lr, ",", key.run.epochs, ",", key.run.seed, ",",
                   key.scheme, ",", key.calibration, ",", float_accuracy, ",", int8_accuracy, "\n");
  return text;
}

std::vector<Int8Result> read_int8_results(const std::filesystem::path& out) {
  const std::filesystem::path path = out / "quant.csv";
  std::vector<Int8Result> results;
  if (!std::filesystem::exists(path)) return results;
  for (const CsvLine& line : read_csv(read_text(path), int8_header, path.string()))
    results.push_back({{{line.fields[0], line.fields[1], line.number<double>(2), line.number<std::size_t>(3),
                         line.number<std::uint64_t>(4)},
                        line.fields[5],
                        line.fields[6]},
                       line.number<double>(7),
                       line.number<double>(8)});
  return results;
}

void measure_int8(const StudyOptions& options, const std::string& program, std::map<std::string, std::string>& failures,
                  const std::function<void()>& finished) {
  const Interrupt interrupt;
  const FileLock lock(options.out / "quant.csv.lock", FileLock::Wait::no);
  if (!lock.held()) return;
  std::vector<Int8Result> results = read_int8_results(options.out);
  for (const Int8Key& key : int8_plan(read_results(options.out))) {
    if (std::ranges::find(results, key, &Int8Result::key) != results.end()) continue;
    const std::filesystem::path folder = run_folder(options, key.run.name()), out = folder / "int8.json";
    const Ending ending = run_child(quantize_arguments(options, program, key), out, folder / "int8.txt", interrupt);
    if (ending.status != 0) {
      std::fprintf(stderr, "%s: FAILED: %s\n", key.name().c_str(), ending.last_words.c_str());
      failures[key.name()] = ending.last_words;
      continue;
    }
    results.push_back(read_int8_result(key, out));
    repopt::formats::write_file(options.out / "quant.csv", to_csv(results));
    std::fprintf(stderr, "%s: float %.2f %%, INT8 %.2f %%\n", key.name().c_str(), 100 * results.back().float_accuracy,
                 100 * results.back().int8_accuracy);
    finished();
  }
}

}  // namespace repopt_cifar::study
