// The subcommands. Each prints text for people to stderr, and returns the JSON object that main() prints to stdout.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "options.hpp"

namespace repopt_cifar {

using Json = nlohmann::ordered_json;

/// Thrown after SIGINT (Ctrl-C), SIGTERM or SIGHUP, when everything is saved.
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Trains a network. Throws std::invalid_argument or std::runtime_error if an option, the data or a file is wrong or
/// the loss becomes NaN or infinite. Throws Interrupted after Ctrl-C.
Json train(TrainOptions options);

/// Measures a trained network on the test pictures.
Json evaluate(const EvalOptions& options);

/// Writes a trained network as plain convolutions with a bias. If its outputs would change, throws
/// std::invalid_argument and writes nothing.
Json convert(const ConvertOptions& options);

/// Measures a trained network in floats and in integers of 4 to 8 bits, and writes the network in integers. If an
/// option, the data or a file is wrong, throws std::invalid_argument or std::runtime_error and writes nothing.
Json quantize(const QuantizeOptions& options);

/// Measures a trained network in the ways of sweep_ways(), and its layers. Throws what quantize() throws.
Json sweep(const SweepOptions& options);

/// Writes a trained network as an ONNX file.
Json export_onnx(const ExportOnnxOptions& options);

/// Trains networks in many ways and compares them. Each run is a process that starts `program`, the path of this
/// program.
Json run_study(StudyOptions options, const std::string& program);

/// Draws the curves of several runs in one picture.
Json plot(const PlotOptions& options);

/// Shows the scales of a file as a table and a picture, and says which models they fit.
Json show_scales(const ScalesOptions& options);

/// The peak resident memory of this process so far, in MiB.
double peak_rss_mb();

/// Lets the engine use `threads` threads. 0 gives each process an equal share of the cores. Throws
/// std::invalid_argument if there are so many that starting them could fail.
void set_threads(int threads);

}  // namespace repopt_cifar
