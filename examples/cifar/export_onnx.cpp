// `repopt-cifar export-onnx`.
#include <cstdio>
#include <string>

#include "commands.hpp"
#include "network.hpp"
#include "repopt/io/atomic_file.hpp"
#include "repopt/io/onnx.hpp"

namespace repopt_cifar {

Json export_onnx(const ExportOnnxOptions& options) {
  const auto [info, model] = load_network(options.weights);
  const repopt::io::OnnxOptions onnx{
      .mean = {info.normalisation.mean.begin(), info.normalisation.mean.end()},
      .std = {info.normalisation.std.begin(), info.normalisation.std.end()},
      .description = repopt::concat("RepOpt-VGG ", info.model, ", trained on ", info.data, " in mode ", info.mode,
                                    ". Channels: red, green, blue."),
      .metadata = {{"model", info.model}, {"mode", info.mode}, {"data", info.data}}};
  const std::string bytes = repopt::io::onnx_model(model, onnx);
  repopt::io::write_file(options.out, bytes);
  std::fprintf(stderr, "%s: %s, mode %s, %.1f MB; 'images' are pictures in 0..1, the network normalises them\n",
               options.out.c_str(), info.model.c_str(), info.mode.c_str(), double(bytes.size()) * 1e-6);
  return {{"command", "export-onnx"}, {"mode", info.mode},     {"model", info.model},        {"data", info.data},
          {"classes", info.classes},  {"bytes", bytes.size()}, {"out", options.out.string()}};
}

}  // namespace repopt_cifar
