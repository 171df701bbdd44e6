// The options of each subcommand.
#pragma once

#include <CLI/CLI.hpp>

#include "options.hpp"

namespace repopt_cifar {

/// Adds the options of a subcommand, which then writes what the command line says into the struct.
/// @{
void add_train(CLI::App& app, TrainOptions& o);
void add_eval(CLI::App& app, EvalOptions& o);
void add_convert(CLI::App& app, ConvertOptions& o);
void add_quantize(CLI::App& app, QuantizeOptions& o);
void add_sweep(CLI::App& app, SweepOptions& o);
void add_export_onnx(CLI::App& app, ExportOnnxOptions& o);
void add_study(CLI::App& app, StudyOptions& o);
void add_plot(CLI::App& app, PlotOptions& o);
void add_scales(CLI::App& app, ScalesOptions& o);
/// @}

}  // namespace repopt_cifar
