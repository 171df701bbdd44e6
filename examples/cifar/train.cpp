// `repopt-cifar train`: checks the options and picks the trainer for rule and precision.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "commands.hpp"
#include "training/processes.hpp"
#include "training/trainer.hpp"

namespace repopt_cifar {

namespace {

using repopt::require;

/// Why mode rep cannot take a rule that other modes take.
std::string_view obstacle_to_rep(std::string_view optimizer) {
  if (optimizer == "lamb") return "its step depends on the norm of each branch, which the one kernel does not show";
  return "its coupled weight decay enters the moments, which mixes the branches";
}

void require_one_of(std::string_view what, std::string_view value, std::initializer_list<std::string_view> choices) {
  std::string list;
  for (const std::string_view choice : choices) list.append(list.empty() ? "" : ", ").append(choice);
  require(std::ranges::find(choices, value) != choices.end(), what, " is '", value, "', it must be one of ", list);
}

struct RuleDefaults {
  double lr, weight_decay;
};

RuleDefaults rule_defaults(std::string_view optimizer) {
  if (optimizer == "adamw") return {1e-3, 5e-2};
  if (optimizer == "adam") return {1e-3, 5e-4};
  if (optimizer == "lion") return {1e-4, 0.5};
  if (optimizer == "lamb") return {5e-3, 5e-2};
  return {0.1, 5e-4};
}

/// Throws std::invalid_argument if --identity-init or --scale-factor is wrong or would have no effect.
void require_scale_options(const TrainOptions& options, bool has_scales) {
  if (identity_weight(options.identity_init)) {
    require(has_scales, "--identity-init is for modes rep, csla, folded and hyper_search, not ", options.mode);
    require(options.prior == "repvgg", "--identity-init ", options.identity_init,
            " is for --prior repvgg: the blocks of ", options.prior, " have no identity");
    require(options.initialization == "rule", "--identity-init ", options.identity_init,
            " has no effect on an ordinary initialization");
  }
  require(options.scale_factor > 0 && std::isfinite(options.scale_factor),
          "--scale-factor must be > 0 and finite, it is ", options.scale_factor);
  require(has_scales || options.scale_factor == 1,
          "--scale-factor is for modes rep, csla, folded and hyper_search, not ", options.mode);
}

/// Throws std::invalid_argument if --custom-l2 does not go with the other options, or would have no effect.
void require_custom_l2_fits(const TrainOptions& options) {
  require(options.mode == "repvgg", "--custom-l2 is for --mode repvgg, not ", options.mode);
  require(options.optimizer == "sgd" || options.optimizer == "adam", "--custom-l2 is a term of the loss, but ",
          options.optimizer, " decays weights apart from the loss: take --optimizer sgd or adam");
  require(*options.weight_decay > 0, "--custom-l2 is weighted by --weight-decay, which must be > 0, it is ",
          *options.weight_decay);
}

/// The options with their defaults filled in. Throws std::invalid_argument if they do not go together.
TrainOptions resolved(TrainOptions options) {
  require_one_of("--mode", options.mode, {"rep", "plain", "csla", "repvgg", "qarepvgg", "folded", "hyper_search"});
  require_one_of("--precision", options.precision, {"float", "double"});
  require_one_of("--conv-algorithm", options.conv_algorithm, {"fastest", "plain"});
  require_one_of("--initialization", options.initialization, {"rule", "ordinary"});
  require_one_of("--grad-mult", options.grad_mult, {"on", "off"});
  require_one_of("--optimizer", options.optimizer, {"sgd", "adamw", "adam", "lion", "lamb"});
  const bool has_no_multiplier = options.optimizer == "adam" || options.optimizer == "lamb";
  require(options.mode != "rep" || !has_no_multiplier, "--optimizer ", options.optimizer,
          " cannot train --mode rep: ", obstacle_to_rep(options.optimizer),
          "; --mode folded trains the same branches by it");
  require(trains_folded(options.mode) || options.prior == "repvgg", "--prior ", options.prior,
          " is for --mode folded and hyper_search, not ", options.mode);
  repopt::nn::prior_of_name(options.prior);
  require(options.epochs > 0, "--epochs must be positive");
  require(options.batch_size > 1, "--batch-size must be at least 2, it is ", options.batch_size);
  require(options.warmup_epochs >= 0, "--warmup-epochs must be >= 0, it is ", options.warmup_epochs);
  require(options.label_smoothing >= 0 && options.label_smoothing <= 1, "--label-smoothing must be in [0, 1], it is ",
          options.label_smoothing);
  require(!options.clip_grad_norm || *options.clip_grad_norm > 0, "--clip-grad-norm must be > 0, it is ",
          options.clip_grad_norm.value_or(0));
  require(!options.ema || (*options.ema >= 0 && *options.ema < 1), "--ema must be in [0, 1), it is ",
          options.ema.value_or(0));
  require(options.optimizer == "sgd" || !options.momentum, "--momentum is for --optimizer sgd, not ",
          options.optimizer);
  require(!options.momentum || (*options.momentum >= 0 && *options.momentum < 1),
          "--momentum must be in [0, 1), it is ", options.momentum.value_or(0));
  require(!(options.resume && options.overwrite), "--resume and --overwrite contradict each other");
  const bool has_scales = options.mode == "rep" || options.mode == "csla" || trains_folded(options.mode);
  require(has_scales || options.scales.empty(), "--mode ", options.mode, " takes no --scales, it has no CSLA blocks");
  if (has_scales && options.scales.empty()) options.scales = "sqrt";
  require(!options.average_scales || (has_scales && options.scales != "sqrt" && options.scales != "ones"),
          "--average-scales needs a file of --scales to average");
  require_scale_options(options, has_scales);
  const bool ordinary = options.initialization == "ordinary", off = options.grad_mult == "off";
  require(options.mode == "rep" || !(ordinary || off), "--initialization ", options.initialization, " and --grad-mult ",
          options.grad_mult, " are for --mode rep, not ", options.mode);
  require(!(ordinary && off),
          "--initialization ordinary with --grad-mult off leaves both rules out: that is --mode plain");
  const RuleDefaults defaults = rule_defaults(options.optimizer);
  if (!options.lr) options.lr = defaults.lr;
  require(std::isfinite(*options.lr) && *options.lr >= 0, "--lr must be finite and >= 0, it is ", *options.lr);
  if (!options.momentum && options.optimizer == "sgd") options.momentum = 0.9;
  if (!options.weight_decay) options.weight_decay = defaults.weight_decay;
  require(std::isfinite(*options.weight_decay) && *options.weight_decay >= 0,
          "--weight-decay must be finite and >= 0, it is ", *options.weight_decay);
  if (options.custom_l2) require_custom_l2_fits(options);
  if (options.out.empty()) options.out = std::filesystem::path("runs") / (options.model + "-" + options.mode);
  // Creating "missing/../run" would create the folder "missing".
  if (!std::filesystem::exists(options.out.parent_path())) options.out = options.out.lexically_normal();
  return options;
}

IfThere if_there(const TrainOptions& options) {
  if (options.resume) return IfThere::resume;
  return options.overwrite ? IfThere::overwrite : IfThere::refuse;
}

/// Throws std::invalid_argument if the run would destroy scales that it takes, or that no run has written.
void require_scales_kept(const TrainOptions& options, const RunFolder& folder) {
  const bool searches = options.mode == "hyper_search";
  std::error_code none;  // a file that does not exist is no other file
  require(!(options.overwrite || searches) || !std::filesystem::equivalent(options.scales, folder.scales(), none),
          options.overwrite ? "--overwrite removes " : "--mode hyper_search replaces ", folder.scales().string(),
          ", which --scales needs: choose another --out");
  require(!searches || options.overwrite || folder.holds_run() || !std::filesystem::exists(folder.scales()),
          folder.scales().string(), " is there already: --overwrite replaces it, or choose another --out");
}

template <class T>
Json train_with(const TrainOptions& o, const repopt::nn::VggConfig& config, PictureSets pictures, RunFolder& folder) {
  const double lr = *o.lr, decay = *o.weight_decay;
  const auto by = [&]<class Rule>(const typename Rule::Options& rule) {
    return Trainer<Rule, T>(o, config, rule, std::move(pictures), folder).run();
  };
  if (o.optimizer == "adamw") return by.template operator()<repopt::AdamW>({.lr = lr, .weight_decay = decay});
  if (o.optimizer == "adam") return by.template operator()<repopt::Adam>({.lr = lr, .weight_decay = decay});
  if (o.optimizer == "lion") return by.template operator()<repopt::Lion>({.lr = lr, .weight_decay = decay});
  if (o.optimizer == "lamb") return by.template operator()<repopt::Lamb>({.lr = lr, .weight_decay = decay});
  return by.template operator()<repopt::Sgd>(
      {.lr = lr, .momentum = *o.momentum, .weight_decay = decay, .nesterov = *o.momentum > 0});
}

}  // namespace

Json train(TrainOptions options) {
  options = resolved(std::move(options));
  set_threads(options.threads);
  RunFolder folder(options.out, if_there(options));
  require_scales_kept(options, folder);
  if (Processes::is_first()) folder.require_free();
  repopt::nn::VggConfig config = repopt::nn::vgg_preset(options.model);
  PictureSets pictures = PictureSets::load(options.data, options.limit, options.classes, options.train_files);
  config.classes = pictures.train.classes;
  if (options.conv_algorithm == "plain") config.algorithm = repopt::nn::ConvAlgorithm::plain;
  for (const auto& [name, value] : binding_options(options, pictures.train.name, pictures.train.size()))
    Processes::require_same("option " + name, value);
  if (Processes::is_first()) {
    print_note(pictures);
    std::fprintf(stderr, "%s, mode %s, on %zu pictures of %s (%zu for the test)\n", options.model.c_str(),
                 options.mode.c_str(), pictures.train.size(), pictures.train.name.c_str(), pictures.test.size());
  }
  return options.precision == "double" ? train_with<double>(options, config, std::move(pictures), folder)
                                       : train_with<float>(options, config, std::move(pictures), folder);
}

}  // namespace repopt_cifar
