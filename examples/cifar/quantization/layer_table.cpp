#include "quantization/layer_table.hpp"

#include <cmath>
#include <cstdio>

#include "repopt/base/error.hpp"

namespace repopt_cifar {

using repopt::quant::LayerReport;

namespace {

Json ratio(double decibels) { return std::isfinite(decibels) ? Json(decibels) : Json(repopt::concat(decibels)); }

}  // namespace

void print(const std::vector<LayerReport>& reports) {
  std::fprintf(stderr, "%-12s %10s %10s %10s %10s %10s %9s %11s %11s %10s %9s\n", "layer", "weight std", "largest",
               "/ std", "diag / std", "gamma/sigma", "weight dB", "output max", "clipped at", "outliers", "output dB");
  for (const LayerReport& r : reports)
    std::fprintf(stderr, "%-12s %10.4f %10.3f %10.1f %10.1f %11.3f %9.1f %11.3f %11.3f %8.4f %% %9.1f\n",
                 r.name.c_str(), r.weight_std, r.weight_largest, r.weight_largest / r.weight_std,
                 r.diagonal_largest / r.weight_std, r.identity_scale, r.weight_sqnr, r.output_seen, r.output_clipped_at,
                 100 * r.outliers, r.output_sqnr);
}

Json to_json(const std::vector<LayerReport>& reports) {
  Json layers = Json::array();
  for (const LayerReport& r : reports)
    layers.push_back({{"name", r.name},
                      {"weight_std", r.weight_std},
                      {"weight_largest", r.weight_largest},
                      {"diagonal_largest", r.diagonal_largest},
                      {"identity_scale", r.identity_scale},
                      {"weight_sqnr_db", ratio(r.weight_sqnr)},
                      {"output_seen", r.output_seen},
                      {"output_clipped_at", r.output_clipped_at},
                      {"outliers", r.outliers},
                      {"output_sqnr_db", ratio(r.output_sqnr)}});
  return layers;
}

}  // namespace repopt_cifar
