// `repopt-cifar train`: checks the options and picks the trainer for rule and precision.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "commands.hpp"
#include "training/processes.hpp"
#include "training/trainer.hpp"

namespace repopt_cifar {

namespace {

using repopt::require;

/// Why a rule that users ask for is not there.
std::string_view refusal(std::string_view optimizer) {
  if (optimizer == "lamb" || optimizer == "lars")
    return "its step depends on the norms of whole tensors, which differ between a block and its one kernel: there is "
           "no equivalent multiplier (use sgd or adamw)";
  if (optimizer == "adam")
    return "its coupled weight decay enters the moments, which mixes the branches: there is no equivalent multiplier "
           "(use adamw)";
  return "the rules are sgd and adamw";
}

void require_one_of(std::string_view what, std::string_view value, std::initializer_list<std::string_view> choices) {
  std::string list;
  for (const std::string_view choice : choices) list.append(list.empty() ? "" : ", ").append(choice);
  require(std::ranges::find(choices, value) != choices.end(), what, " is '", value, "', it must be one of ", list);
}

/// The options with their defaults filled in. Throws std::invalid_argument if they do not go together.
TrainOptions resolved(TrainOptions options) {
  require_one_of("--mode", options.mode, {"rep", "plain", "csla", "repvgg", "hyper_search"});
  require_one_of("--precision", options.precision, {"float", "double"});
  require_one_of("--conv-algorithm", options.conv_algorithm, {"fastest", "plain"});
  require_one_of("--identity-init", options.identity_init, {"searched", "one"});
  require_one_of("--initialization", options.initialization, {"rule", "ordinary"});
  require_one_of("--grad-mult", options.grad_mult, {"on", "off"});
  require(options.optimizer == "sgd" || options.optimizer == "adamw", "--optimizer ", options.optimizer, ": ",
          refusal(options.optimizer));
  require(options.epochs > 0, "--epochs must be positive");
  require(options.batch_size > 1, "--batch-size must be at least 2, it is ", options.batch_size);
  require(options.warmup_epochs >= 0, "--warmup-epochs must be >= 0, it is ", options.warmup_epochs);
  require(options.label_smoothing >= 0 && options.label_smoothing <= 1, "--label-smoothing must be in [0, 1], it is ",
          options.label_smoothing);
  require(!options.clip_grad_norm || *options.clip_grad_norm > 0, "--clip-grad-norm must be > 0, it is ",
          options.clip_grad_norm.value_or(0));
  require(!options.ema || (*options.ema >= 0 && *options.ema < 1), "--ema must be in [0, 1), it is ",
          options.ema.value_or(0));
  require(options.threads >= 0, "--threads must be >= 0, it is ", options.threads);
  const bool has_scales = options.mode == "rep" || options.mode == "csla" || options.mode == "hyper_search";
  require(has_scales || options.scales.empty(), "--mode ", options.mode, " takes no --scales, it has no CSLA blocks");
  if (has_scales && options.scales.empty()) options.scales = "sqrt";
  require(!options.average_scales || (has_scales && options.scales != "sqrt" && options.scales != "ones"),
          "--average-scales needs a file of --scales to average");
  const bool ordinary = options.initialization == "ordinary", off = options.grad_mult == "off";
  require(options.mode == "rep" || !(ordinary || off), "--initialization ", options.initialization, " and --grad-mult ",
          options.grad_mult, " are for --mode rep, not ", options.mode);
  require(!(ordinary && off),
          "--initialization ordinary with --grad-mult off leaves both rules out: that is --mode plain");
  const bool adamw = options.optimizer == "adamw";
  if (!options.lr) options.lr = adamw ? 1e-3 : 0.1;
  if (!options.weight_decay) options.weight_decay = adamw ? 5e-2 : 5e-4;
  if (options.out.empty()) options.out = std::filesystem::path("runs") / (options.model + "-" + options.mode);
  return options;
}

template <class T>
Json train_with(const TrainOptions& options, const repopt::nn::VggConfig& config, PictureSets pictures) {
  if (options.optimizer == "adamw")
    return Trainer<repopt::AdamW, T>(options, config, {.lr = *options.lr, .weight_decay = *options.weight_decay},
                                     std::move(pictures))
        .run();
  return Trainer<repopt::Sgd, T>(options, config,
                                 {.lr = *options.lr,
                                  .momentum = options.momentum,
                                  .weight_decay = *options.weight_decay,
                                  .nesterov = options.momentum > 0},
                                 std::move(pictures))
      .run();
}

}  // namespace

Json train(TrainOptions options) {
  options = resolved(std::move(options));
  set_threads(options.threads);
  repopt::nn::VggConfig config = repopt::nn::vgg_preset(options.model);
  PictureSets pictures = PictureSets::load(options.data, options.limit, options.classes, options.train_files);
  config.classes = pictures.train.classes;
  if (options.conv_algorithm == "plain") config.algorithm = repopt::nn::ConvAlgorithm::plain;
  for (const auto& [name, value] : binding_options(options, pictures.train.name, pictures.train.size()))
    Processes::require_same("option " + name, value);
  if (Processes::is_first())
    std::fprintf(stderr, "%s, mode %s, on %zu pictures of %s (%zu for the test)\n", options.model.c_str(),
                 options.mode.c_str(), pictures.train.labels.size(), pictures.train.name.c_str(),
                 pictures.test.labels.size());
  return options.precision == "double" ? train_with<double>(options, config, std::move(pictures))
                                       : train_with<float>(options, config, std::move(pictures));
}

}  // namespace repopt_cifar
