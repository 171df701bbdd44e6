// `repopt-cifar export-onnx`: a trained network as an ONNX file.
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "data/pictures.hpp"
#include "formats/output_file.hpp"
#include "quantization/calibrate.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/io/onnx.hpp"
#include "repopt/io/onnx_quantized.hpp"
#include "training/network.hpp"
#include "training/run_folder.hpp"

namespace repopt_cifar {

namespace {

/// Returns the network that `quantize` would write.
QuantizedNetwork quantized(const QuantizeOptions& options) {
  repopt::require(!options.data.empty(), "--int8 needs --data: ", options.weights.string(),
                  " holds floats, and quantizing them needs pictures");
  Network network = load_network(options.weights);
  const PictureSets pictures = PictureSets::load(options.data, options.limit, options.classes);
  require_same_classes(network.info, pictures.train);
  const CalibratedNetwork calibrated = calibrate(network, pictures.train, options);
  repopt::quant::QuantizedVgg model(calibrated.plain, calibrated.activations, calibrated.weights);
  return {std::move(network.info), std::move(model)};
}

/// Writes `model` as an ONNX file. `numbers` names the numbers that it computes with.
Json write_onnx(const ModelInfo& info, const auto& model, const char* numbers, const ExportOnnxOptions& options) {
  const std::string bytes = repopt::io::onnx_model(
      model, {.mean = {info.normalisation.mean.begin(), info.normalisation.mean.end()},
              .std = {info.normalisation.std.begin(), info.normalisation.std.end()},
              .description = repopt::concat("RepOpt-VGG ", info.model, ", trained on ", info.data, " in mode ",
                                            info.mode, ", in ", numbers, ". Channels: red, green, blue."),
              .metadata = {{"model", info.model}, {"mode", info.mode}, {"data", info.data}, {"numbers", numbers}},
              .signed_weights = options.signed_weights});
  repopt::formats::write_file(options.out, bytes);
  std::fprintf(stderr, "%s: %s, mode %s, in %s, %.1f MB; its input 'images' takes pictures in 0..1\n",
               options.out.c_str(), info.model.c_str(), info.mode.c_str(), numbers, double(bytes.size()) * 1e-6);
  return {{"command", "export-onnx"}, {"mode", info.mode},  {"model", info.model},   {"data", info.data},
          {"classes", info.classes},  {"numbers", numbers}, {"bytes", bytes.size()}, {"out", options.out.string()}};
}

}  // namespace

Json export_onnx(const ExportOnnxOptions& options) {
  const QuantizeOptions& quantization = options.quantization;
  set_threads(quantization.threads);
  std::vector<std::filesystem::path> inputs = pictures_in(quantization.data);
  inputs.push_back(quantization.weights);
  require_output(options.out, inputs);
  require_outside_runs(options.out);
  const NetworkFormat format = network_format(repopt::formats::Safetensors::load(quantization.weights));
  if (format == NetworkFormat::floats && !options.int8) {
    repopt::require(!options.signed_weights, "--signed-weights is for INT8 networks: ", quantization.weights.string(),
                    " holds floats, and there is no --int8");
    repopt::require(quantization.data.empty(), "--data is used by --int8 only, and there is no --int8");
    const auto [info, model] = load_network(quantization.weights);
    return write_onnx(info, model, "float", options);
  }
  repopt::require(format == NetworkFormat::floats || (!options.int8 && quantization.data.empty()),
                  quantization.weights.string(), " is quantized already: --int8 and --data are for networks in floats");
  const auto [info, model] =
      format == NetworkFormat::int8 ? load_quantized_network(quantization.weights) : quantized(quantization);
  return write_onnx(info, model, "INT8", options);
}

}  // namespace repopt_cifar
