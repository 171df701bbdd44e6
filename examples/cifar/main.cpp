// repopt-cifar: RepOpt-VGG on CIFAR, from the command line. Human text goes to stderr; the last line of stdout is one
// JSON object with the result.
#include <CLI/CLI.hpp>
#include <csignal>
#include <optional>

#include "arguments.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "repopt/base/error.hpp"
#include "repopt/version.hpp"
#include "training/processes.hpp"

int main(int argc, char** argv) {
  using namespace repopt_cifar;
  if (!prepare_streams()) return 1;
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit of its size is an error of write(), not the program's end
  CLI::App app("Trains RepOpt-VGG on CIFAR: a plain VGG with the training dynamics of a multi-branch network.");
  app.set_version_flag("--version", repopt::concat("repopt-cifar ", REPOPT_VERSION_MAJOR, ".", REPOPT_VERSION_MINOR,
                                                   ".", REPOPT_VERSION_PATCH));
  app.require_subcommand(1);
  app.fallthrough(false);
  TrainOptions train_options;
  EvalOptions eval_options;
  ConvertOptions convert_options;
  QuantizeOptions quantize_options;
  SweepOptions sweep_options;
  ExportOnnxOptions export_onnx_options;
  StudyOptions study_options;
  PlotOptions plot_options;
  ScalesOptions scales_options;
  CLI::App* const train_command = app.add_subcommand("train", "train a network");
  CLI::App* const eval_command = app.add_subcommand("eval", "measure a trained network on the test pictures");
  CLI::App* const convert_command =
      app.add_subcommand("convert", "fold branches and batch norms: one convolution with a bias for each block");
  CLI::App* const quantize_command = app.add_subcommand(
      "quantize", "measure a trained network in integers of 4 to 8 bits, layer by layer, and write it");
  CLI::App* const sweep_command = app.add_subcommand(
      "sweep", "measure a trained network in integers of 8, 7, 6, 5 and 4 bits, per tensor and per channel");
  CLI::App* const export_onnx_command =
      app.add_subcommand("export-onnx", "write a trained network as an ONNX file, which takes pictures in 0..1");
  CLI::App* const study_command =
      app.add_subcommand("study", "train a network in every way that tells what the method does, and compare");
  CLI::App* const plot_command = app.add_subcommand("plot", "draw the curves of runs in one picture");
  CLI::App* const scales_command = app.add_subcommand("scales", "show a file of scales");
  add_train(*train_command, train_options);
  add_eval(*eval_command, eval_options);
  add_convert(*convert_command, convert_options);
  add_quantize(*quantize_command, quantize_options);
  add_sweep(*sweep_command, sweep_options);
  add_export_onnx(*export_onnx_command, export_onnx_options);
  add_study(*study_command, study_options);
  add_plot(*plot_command, plot_options);
  add_scales(*scales_command, scales_options);
  for (CLI::App* const command : app.get_subcommands({})) refuse_wrong_values(*command);
  if (const std::optional<int> status = parse(app, argc, argv)) return *status;
  if (*train_command) return Processes::run([&] { return run([&] { return train(train_options); }); });
  if (*eval_command) return run([&] { return evaluate(eval_options); });
  if (*convert_command) return run([&] { return convert(convert_options); });
  if (*quantize_command) return run([&] { return quantize(quantize_options); });
  if (*sweep_command) return run([&] { return sweep(sweep_options); });
  if (*export_onnx_command) return run([&] { return export_onnx(export_onnx_options); });
  if (*scales_command) return run([&] { return show_scales(scales_options); });
  if (*study_command) return run([&] { return run_study(study_options, argv[0]); });
  return run([&] { return plot(plot_options); });
}
