// The subcommands. Each talks to a person on stderr, and returns the object that stdout's last line shows.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "options.hpp"

namespace repopt_cifar {

using Json = nlohmann::ordered_json;

/// Ctrl-C or SIGTERM came; everything is saved.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Trains a network. Throws std::invalid_argument or std::runtime_error if an option, the data or a file is wrong, or
/// the loss is no number any more, and Interrupted.
Json train(TrainOptions options);

/// Measures a trained network on the test pictures.
Json evaluate(const EvalOptions& options);

/// Writes a trained network as plain convolutions with a bias. Throws std::invalid_argument, and writes nothing, if its
/// outputs would not stay the same.
Json convert(const ConvertOptions& options);

/// Measures a trained network in floats and in 8-bit integers, and writes the latter. Throws std::invalid_argument or
/// std::runtime_error, and writes nothing, if an option, the data or a file is wrong.
Json quantize(const QuantizeOptions& options);

/// Writes a trained network as an ONNX file.
Json export_onnx(const ExportOnnxOptions& options);

/// Trains a network in many ways, by runs of `program`, which is this one, and compares them.
Json run_study(StudyOptions options, const std::string& program);

/// Draws the curves of runs in one picture.
Json plot(const PlotOptions& options);

/// Shows what a file of scales holds and which models it fits, as a table and a picture.
Json show_scales(const ScalesOptions& options);

/// Largest memory that this process had so far, in MiB.
double peak_rss_mb();

/// Gives the engine `threads` threads, or, for 0, one for each core that its processes leave it.
void set_threads(int threads);

}  // namespace repopt_cifar
