#include "study/int8.hpp"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "formats/csv.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "study/layers.hpp"
#include "study/measurements.hpp"
#include "study/run_table.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// The variants whose networks are quantized. Variants that were not run are passed over.
constexpr std::string_view quantized_variants[] = {
    "plain",    "rep-sqrt",         "rep-searched",     "hyper_search",     "repvgg",
    "qarepvgg", "repvgg-custom-l2", "rep-identity-0.3", "rep-identity-0.1", "rep-scale-0.5"};

constexpr RunTable int8_table(
    "quant.csv", "scheme,calibration,weight_bits,activation_bits,split_identity,float_accuracy,int8_accuracy");
constexpr RunTable table_without_split("quant.csv",
                                       "scheme,calibration,weight_bits,activation_bits,float_accuracy,int8_accuracy");
constexpr RunTable table_without_bits("quant.csv", "scheme,calibration,float_accuracy,int8_accuracy");

/// Reads the results of `repopt-cifar sweep` from its JSON.
std::vector<Int8Result> results_of(const RunKey& run, const nlohmann::json& json) {
  std::vector<Int8Result> results;
  for (const auto& way : json.at("results"))
    results.push_back({{run, way.at("scheme"), way.at("calibration"), way.at("weight_bits"), way.at("activation_bits"),
                        way.at("split_identity")},
                       json.at("float_accuracy"),
                       way.at("int8_accuracy")});
  return results;
}

/// What quant.csv and layers.csv hold.
struct Measured {
  std::vector<Int8Result> results;
  std::vector<LayerResult> layers;

  /// Whether the network of `run` was quantized in all ways and its layers are here, too.
  bool has(const RunKey& run) const {
    return std::ranges::find(layers, run, &LayerResult::run) != layers.end() &&
           std::ranges::all_of(int8_keys(run), [&](const Int8Key& key) {
             return std::ranges::find(results, key, &Int8Result::key) != results.end();
           });
  }

  /// Takes what `repopt-cifar sweep` wrote to `path` in place of the run's results and layers. Throws
  /// std::runtime_error and changes nothing if the file is wrong.
  void take_sweep(const RunKey& run, const std::filesystem::path& path) {
    try {
      const auto json = nlohmann::json::parse(read_text(path));
      const std::vector<Int8Result> new_results = results_of(run, json);
      const std::vector<LayerResult> new_layers = layers_of(run, json);
      std::erase_if(results, [&](const Int8Result& result) { return result.key.run == run; });
      std::erase_if(layers, [&](const LayerResult& layer) { return layer.run == run; });
      results.insert(results.end(), new_results.begin(), new_results.end());
      layers.insert(layers.end(), new_layers.begin(), new_layers.end());
    } catch (const nlohmann::json::exception& error) {
      throw std::runtime_error(concat(path.string(), ": ", error.what()));
    }
  }

  void write(const std::filesystem::path& out) const {
    repopt::formats::write_file(out / "layers.csv", to_csv(layers));
    repopt::formats::write_file(out / "quant.csv", to_csv(results));
  }
};

}  // namespace

std::vector<RunKey> int8_plan(const std::vector<RunResult>& results) {
  std::set<std::string> models;
  for (const RunResult& result : results) models.insert(result.key.model);
  std::vector<RunKey> runs;
  for (const std::string& model : models) {
    const ModelSummary summary(model, results);
    for (const std::string_view variant : quantized_variants)
      if (const Group* const group = summary.best(variant, summary.usual_epochs()))
        for (const RunResult& run : group->runs()) runs.push_back(run.key);
  }
  return runs;
}

std::vector<Int8Key> int8_keys(const RunKey& run) {
  std::vector<Int8Key> keys;
  for (const SweepWay& way : sweep_ways(repopt::nn::vgg_preset(run.model)))
    keys.push_back({run, std::string(to_string(way.scheme)), std::string(to_string(way.calibration)), way.bits,
                    way.bits, way.split_identity});
  return keys;
}

std::string to_csv(const std::vector<Int8Result>& results) {
  std::vector<RunTable::Line> lines;
  for (const auto& [key, float_accuracy, int8_accuracy] : results)
    lines.emplace_back(key.run, concat(key.scheme, ",", key.calibration, ",", key.weight_bits, ",", key.activation_bits,
                                       ",", key.split_identity, ",", float_accuracy, ",", int8_accuracy));
  return int8_table.text(lines);
}

std::vector<Int8Result> read_int8_results(const std::filesystem::path& out) {
  const bool has_bits = !table_without_bits.fits(out), has_split = has_bits && !table_without_split.fits(out);
  const RunTable& columns = has_split ? int8_table : has_bits ? table_without_split : table_without_bits;
  std::vector<Int8Result> results;
  for (const auto& [run, line] : columns.read(out)) {
    std::size_t column = RunTable::key_columns;
    Int8Key key{run, line.fields[column], line.fields[column + 1]};
    column += 2;
    if (has_bits) {
      key.weight_bits = line.number<int>(column++);
      key.activation_bits = line.number<int>(column++);
    }
    if (has_split) key.split_identity = line.number<int>(column++);
    results.push_back({std::move(key), line.number<double>(column), line.number<double>(column + 1)});
  }
  return results;
}

void measure_int8(const StudyOptions& options, const std::string& program, std::map<std::string, std::string>& failures,
                  const std::function<void()>& finished) {
  Measured measured;
  const auto missing = [&] {
    measured = {read_int8_results(options.out), read_layers(options.out)};
    std::vector<Measurement> measurements;
    for (const RunKey& run : int8_plan(read_results(options.out)))
      if (!measured.has(run))
        measurements.push_back(
            {run, "int8", {"sweep"}, [&, run](const std::filesystem::path& json) { measured.take_sweep(run, json); }});
    return measurements;
  };
  const auto save = [&] { measured.write(options.out); };
  measure_networks(options, program, "quant.csv", missing, save, failures, finished);
}

}  // namespace repopt_cifar::study
