#include "study/layers.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/csv.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr std::size_t first_sqnr = 11;  // the columns before them

std::string layers_header() {
  std::string text =
      "model,variant,lr,epochs,seed,layer,weight_std,weight_largest,diagonal_largest,identity_scale,output_largest";
  for (const int bits : sweep_bits) text += concat(",output_sqnr_db_", bits);
  return text;
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
    for (std::size_t k = 0; k < layer.output_sqnr.size(); ++k) {
      const auto& sqnr = by_bits.at(k).at("layers").at(i).at("output_sqnr_db");
      layer.output_sqnr[k] = sqnr.is_null() ? std::numeric_limits<double>::infinity() : sqnr.get<double>();
    }
  }
  return layers;
}

std::string to_csv(const std::vector<LayerResult>& layers) {
  std::string text = layers_header() + "\n";
  for (const LayerResult& l : layers) {
    text += concat(l.run.model, ",", l.run.variant, ",", l.run.lr, ",", l.run.epochs, ",", l.run.seed, ",", l.layer,
                   ",", l.weight_std, ",", l.weight_largest, ",", l.diagonal_largest, ",", l.identity_scale, ",",
                   l.output_largest);
    for (const double sqnr : l.output_sqnr) text += concat(",", sqnr);
    text += "\n";
  }
  return text;
}

std::vector<LayerResult> read_layers(const std::filesystem::path& out) {
  const std::filesystem::path path = out / "layers.csv";
  std::vector<LayerResult> layers;
  if (!std::filesystem::exists(path)) return layers;
  for (const CsvLine& line : read_csv(read_text(path), layers_header(), path.string())) {
    LayerResult& layer = layers.emplace_back(LayerResult{{line.fields[0], line.fields[1], line.number<double>(2),
                                                          line.number<std::size_t>(3), line.number<std::uint64_t>(4)},
                                                         line.fields[5],
                                                         line.number<double>(6),
                                                         line.number<double>(7),
                                                         line.number<double>(8),
                                                         line.number<double>(9),
                                                         line.number<double>(10)});
    for (std::size_t k = 0; k < layer.output_sqnr.size(); ++k)
      layer.output_sqnr[k] = line.number<double>(first_sqnr + k);
  }
  return layers;
}

}  // namespace repopt_cifar::study
