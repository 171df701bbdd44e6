#include "study/layers.hpp"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/csv.hpp"
#include "repopt/base/error.hpp"
#include "study/run_table.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

static_assert(std::ranges::equal(sweep_bits, std::array{8, 7, 6, 5, 4}), "the last columns of layer_table name them");

constexpr RunTable layer_table("layers.csv",
                               "layer,weight_std,weight_largest,diagonal_largest,identity_scale,output_largest,"
                               "output_sqnr_db_8,output_sqnr_db_7,output_sqnr_db_6,output_sqnr_db_5,output_sqnr_db_4");

/// Reads a ratio in dB, which is a text if it is not finite.
double ratio_of(const nlohmann::json& json) {
  return json.is_string() ? CsvLine{"output_sqnr_db", {json.get<std::string>()}}.number<double>(0) : json.get<double>();
}

}  // namespace

std::vector<LayerResult> layers_of(const RunKey& run, const nlohmann::json& sweep) {
  const auto& by_bits = sweep.at("layers_per_tensor_mse");
  std::vector<LayerResult> layers;
  for (std::size_t i = 0; i < by_bits.at(0).at("layers").size(); ++i) {
    const auto& report = by_bits[0]["layers"][i];
    LayerResult& layer = layers.emplace_back(LayerResult{run, report.at("name"), report.at("weight_std"),
                                                         report.at("weight_largest"), report.at("diagonal_largest"),
                                                         report.at("identity_scale"), report.at("output_seen")});
    for (std::size_t k = 0; k < layer.output_sqnr.size(); ++k)
      layer.output_sqnr[k] = ratio_of(by_bits.at(k).at("layers").at(i).at("output_sqnr_db"));
  }
  return layers;
}

std::string to_csv(const std::vector<LayerResult>& layers) {
  std::vector<RunTable::Line> lines;
  for (const LayerResult& l : layers) {
    std::string columns = concat(l.layer, ",", l.weight_std, ",", l.weight_largest, ",", l.diagonal_largest, ",",
                                 l.identity_scale, ",", l.output_largest);
    for (const double sqnr : l.output_sqnr) columns += concat(",", sqnr);
    lines.emplace_back(l.run, std::move(columns));
  }
  return layer_table.text(lines);
}

std::vector<LayerResult> read_layers(const std::filesystem::path& out) {
  constexpr std::size_t start = RunTable::key_columns;
  std::vector<LayerResult> layers;
  for (const auto& [run, line] : layer_table.read(out)) {
    LayerResult& layer = layers.emplace_back(
        LayerResult{run, line.fields[start], line.number<double>(start + 1), line.number<double>(start + 2),
                    line.number<double>(start + 3), line.number<double>(start + 4), line.number<double>(start + 5)});
    for (std::size_t k = 0; k < layer.output_sqnr.size(); ++k)
      layer.output_sqnr[k] = line.number<double>(start + 6 + k);
  }
  return layers;
}

}  // namespace repopt_cifar::study
