#include "training/run_options.hpp"

#include <doctest/doctest.h>

#include <map>
#include <stdexcept>
#include <string>

#include "training/run_file.hpp"
#include "training/steps.hpp"

using namespace repopt_cifar;

namespace {

TrainOptions options() {
  TrainOptions options;
  options.lr = 0.1;
  options.momentum = 0.9;
  options.weight_decay = 5e-4;
  options.train_files = {"a.bin", "b.bin"};
  options.clip_grad_norm = 5;
  return options;
}

}  // namespace

TEST_CASE("A checkpoint's options keep the names and texts that resumed runs need") {
  const std::map<std::string, std::string> expected{{"mode", "rep"},
                                                    {"model", "cifar-deep"},
                                                    {"prior", "repvgg"},
                                                    {"data", "CIFAR-10"},
                                                    {"train_files", "a.bin, b.bin"},
                                                    {"classes", "0"},
                                                    {"scales", ""},
                                                    {"average_scales", "no"},
                                                    {"identity_init", "searched"},
                                                    {"scale_factor", "1"},
                                                    {"custom_l2", "no"},
                                                    {"initialization", "rule"},
                                                    {"grad_mult", "on"},
                                                    {"train_images", "64"},
                                                    {"epochs", "8"},
                                                    {"batch_size", "128"},
                                                    {"optimizer", "sgd"},
                                                    {"lr", "0.1"},
                                                    {"momentum", "0.9"},
                                                    {"weight_decay", "5e-04"},
                                                    {"label_smoothing", "0.1"},
                                                    {"warmup_epochs", "0.5"},
                                                    {"clip_grad_norm", "5"},
                                                    {"ema", "none"},
                                                    {"sync_bn", "no"},
                                                    {"processes", "1"},
                                                    {"conv_algorithm", "fastest"},
                                                    {"seed", "0"}};
  CHECK(binding_options(options(), "CIFAR-10", 64) == expected);
}

TEST_CASE("A run may be resumed with more epochs, and with nothing else that is different") {
  const auto saved = binding_options(options(), "CIFAR-10", 64);
  for (const RunOption& option : run_options(options())) {
    if (!option.binds) continue;
    auto run = saved;
    run[option.name] += "1";
    CHECK_THROWS_WITH_AS(require_same_options(run, saved, "file"), doctest::Contains((option.name + " is ").c_str()),
                         std::runtime_error);
  }
  auto run = saved;
  run["epochs"] = "10";
  CHECK_NOTHROW(require_same_options(run, saved, "file"));
  run["epochs"] = "7";
  CHECK_THROWS_WITH_AS(require_same_options(run, saved, "file"), doctest::Contains("its epochs is 8, here it is 7"),
                       std::runtime_error);
  // Older versions wrote a momentum for rules that have none.
  run = saved;
  run["momentum"] = "none";
  CHECK_NOTHROW(require_same_options(run, saved, "file"));
}

TEST_CASE("A warm-up as long as the run is refused with the names of the options") {
  TrainOptions short_run = options();
  short_run.epochs = 1;
  short_run.batch_size = 64;
  CHECK(RunSteps::of(short_run, 640).total() == 10);
  CHECK_THROWS_WITH_AS(RunSteps::of(short_run, 64), doctest::Contains("choose a smaller --batch-size, more --epochs"),
                       std::invalid_argument);
}
