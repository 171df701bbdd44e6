// The table of a quantized network's layers.
#pragma once

#include <vector>

#include "commands.hpp"
#include "repopt/quant/layer_report.hpp"

namespace repopt_cifar {

/// Prints the reports to stderr, a line for each layer.
void print(const std::vector<repopt::quant::LayerReport>& reports);

/// Returns the reports as an array of objects. JSON has no infinite numbers, so a ratio in dB that is not finite is a
/// text: "inf" if there is no noise, "-inf" if there is no signal.
Json to_json(const std::vector<repopt::quant::LayerReport>& reports);

}  // namespace repopt_cifar
