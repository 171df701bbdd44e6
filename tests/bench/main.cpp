// repopt-bench: measures how long the library takes, as medians. tests/bench/run.sh compares them with PyTorch's.
#include "bench.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace repopt_bench {

namespace {

CLI::App* add_benchmark(CLI::App& app, const char* name, const char* description, Options& o) {
  CLI::App* const command = app.add_subcommand(name, description);
  command->add_option("--threads", o.threads)->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--rounds", o.rounds, "number of measurements; the median is printed")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", o.json, "print one JSON object a line");
  return command;
}

void add_conv_options(CLI::App* command, Options& o) {
  command->add_option("--batch", o.batch, "number of images")->capture_default_str()->check(CLI::PositiveNumber);
  command->add_option("--conv-algorithm", o.conv_algorithm)
      ->capture_default_str()
      ->check(CLI::IsMember({"fastest", "plain"}));
}

}  // namespace

}  // namespace repopt_bench

int main(int argc, char** argv) {
  using namespace repopt_bench;
  CLI::App app("Measures repopt: training steps, inference, optimizer steps and convolutions.");
  app.require_subcommand(1);
  Options options;

  CLI::App* const step = add_benchmark(app, "step", "training steps of a network", options);
  step->add_option("--model", options.model, "preset of the network [cifar-vgg]");
  step->add_option("--mode", options.mode,
                   "rep, plain, repvgg, qarepvgg; folded or hyper_search (branches folded, scales constant or "
                   "trained); csla or hyper_search_real (the same with real branches)")
      ->capture_default_str()
      ->check(
          CLI::IsMember({"rep", "plain", "repvgg", "qarepvgg", "folded", "hyper_search", "csla", "hyper_search_real"}));
  add_conv_options(step, options);

  CLI::App* const inference = add_benchmark(app, "inference", "the forward pass of a deployed network", options);
  inference->add_option("--model", options.model, "preset of the network [cifar-vgg]");
  inference->add_option("--onnx", options.onnx, "also write the network to this file, for ONNX Runtime");
  add_conv_options(inference, options);

  CLI::App* const optimizer = add_benchmark(app, "optimizer", "optimizer steps", options);
  optimizer->add_option("--model", options.model, "preset of the network [B1]");
  optimizer->add_option("--layout", options.layout, "layout of the kernels")
      ->capture_default_str()
      ->check(CLI::IsMember({"oihw", "ohwi", "hwio"}));

  CLI::App* const conv = add_benchmark(app, "conv", "3x3 convolutions in three passes", options);
  add_conv_options(conv, options);
  CLI11_PARSE(app, argc, argv);

#ifdef _OPENMP
  omp_set_num_threads(options.threads);
#else
  if (options.threads > 1) std::fprintf(stderr, "repopt-bench was built without OpenMP and uses one thread\n");
#endif
  try {
    if (*step) bench_step(options);
    if (*inference) bench_inference(options);
    if (*optimizer) bench_optimizer(options);
    if (*conv) bench_conv(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
