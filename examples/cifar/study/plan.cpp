#include "study/plan.hpp"

#include <algorithm>
#include <array>
#include <sstream>
#include <string>
#include <utility>

#include "repopt/base/error.hpp"

namespace repopt_cifar::study {

using repopt::concat;
using repopt::require;

namespace {

constexpr std::string_view both_rules = "--initialization rule --grad-mult on";

constexpr std::array<Variant, 21> known_variants{{
    {search_name, "hyper_search", "sgd", "sqrt", "", "the branches, trained folded, with trained scales", "#8c6d31",
     ""},
    {"plain", "plain", "sgd", "", "", "ordinary initialization and training", "#777777", "76.91"},
    {"rep-searched", "rep", "sgd", "searched", both_rules, "both rules, searched scales", "#0072b2", "78.47"},
    {"rep-sqrt", "rep", "sgd", "sqrt", both_rules, "both rules, scales sqrt(2/l)", "#56b4e9", "77.71"},
    {"rep-ones", "rep", "sgd", "ones", both_rules, "both rules, all scales 1", "#009e73", "77.59"},
    {"rep-averaged", "rep", "sgd", "averaged", both_rules, "both rules, searched scales averaged over channels",
     "#cc79a7", "77.40"},
    {"rep-ordinary-init", "rep", "sgd", "searched", "--initialization ordinary --grad-mult on",
     "GradMult alone, with ordinary initialization", "#d55e00", "77.42"},
    {"rep-no-grad-mult", "rep", "sgd", "searched", "--initialization rule --grad-mult off",
     "the rule of initialization alone", "#e69f00", "77.07"},
    {"rep-identity-0.3", "rep", "sgd", "sqrt", "--identity-init 0.3", "rep-sqrt, identities start at 0.3", "#6a51a3",
     ""},
    {"rep-identity-0.1", "rep", "sgd", "sqrt", "--identity-init 0.1", "rep-sqrt, identities start at 0.1", "#bcbddc",
     ""},
    {"rep-scale-0.5", "rep", "sgd", "sqrt", "--scale-factor 0.5", "rep-sqrt, scales of convolutions halved", "#e7298a",
     ""},
    {"csla", "csla", "sgd", "searched", "", "the branches themselves, with searched scales as constants", "#7b3fb5",
     ""},
    {"repvgg", "repvgg", "sgd", "", "", "the branches, each with a batch norm", "#b22222", "78.41"},
    {"repvgg-custom-l2", "repvgg", "sgd", "", "--custom-l2", "repvgg, trained with its custom L2", "#fb6a4a", ""},
    {"qarepvgg", "qarepvgg", "sgd", "", "", "the branches, with QARepVGG's batch norms", "#e9967a", ""},
    {"dbb", "folded", "sgd", "sqrt", "--prior dbb", "Diverse Branch Block's branches, folded", "#238b45", ""},
    {"edge", "folded", "sgd", "sqrt", "--prior edge", "ECBSR's branches, folded", "#08519c", ""},
    {"asymmetric", "folded", "sgd", "sqrt", "--prior asymmetric", "ACNet's branches, folded", "#cc4c02", ""},
    {"plain-adamw", "plain", "adamw", "", "", "plain, trained by AdamW", "#777777", "75.03"},
    {"rep-searched-adamw", "rep", "adamw", "searched", both_rules, "rep-searched, trained by AdamW", "#0072b2", ""},
    {"csla-adamw", "csla", "adamw", "searched", "", "csla, trained by AdamW", "#7b3fb5", ""},
}};

/// Returns the variants of these names, all if there are none, in the order of the table. Leaves out Hyper-Search.
std::vector<Variant> chosen_variants(const std::vector<std::string>& names) {
  for (const std::string& name : names) find_variant(name);
  std::vector<Variant> chosen;
  for (const Variant& variant : known_variants)
    if (variant.name != search_name && (names.empty() || std::ranges::find(names, variant.name) != names.end()))
      chosen.push_back(variant);
  return chosen;
}

void validate(const StudyOptions& options) {
  for (const std::string& model : options.models) shown_block(options, model);
  require(!options.models.empty() && !options.epochs.empty() && !options.lr.empty() && !options.adamw_lr.empty(),
          "--models, --epochs, --lr and --adamw-lr need a value each");
  require(options.seeds > 0, "--seeds must be positive");
  for (const std::size_t epochs : options.epochs) require(epochs > 0, "--epochs must be positive");
  require(options.search_lr > 0, "--search-lr must be > 0, it is ", options.search_lr);
  for (const auto* rates : {&options.lr, &options.adamw_lr})
    for (const double lr : *rates) require(lr > 0, "a learning rate must be > 0, one is ", lr);
}

}  // namespace

std::span<const Variant> all_variants() { return known_variants; }

const Variant& find_variant(std::string_view name) {
  const auto found = std::ranges::find(known_variants, name, &Variant::name);
  std::string names;
  for (const Variant& variant : known_variants) names.append(names.empty() ? "" : ", ").append(variant.name);
  require(found != known_variants.end(), "there is no variant '", name, "'; the variants are ", names);
  return *found;
}

std::string RunKey::name() const { return concat(model, "-", variant, "-lr", lr, "-e", epochs, "-s", seed); }

std::size_t search_epochs(const StudyOptions& options) {
  return options.search_epochs > 0 || options.epochs.empty() ? options.search_epochs : options.epochs.front();
}

std::vector<PlannedRun> plan(const StudyOptions& options) {
  validate(options);
  const std::vector<Variant> chosen = chosen_variants(options.variants);
  const bool searches = std::ranges::find(options.variants, search_name) != options.variants.end() ||
                        std::ranges::any_of(chosen, &Variant::needs_search);
  std::vector<PlannedRun> runs;
  for (std::uint64_t seed = 0; seed < options.seeds; ++seed)
    for (const std::string& model : options.models) {
      const RunKey search{model, std::string(search_name), options.search_lr, search_epochs(options), seed};
      if (searches) runs.push_back({search, ""});
      for (const std::size_t epochs : options.epochs)
        for (const Variant& variant : chosen)
          for (const double lr : variant.optimizer == "adamw" ? options.adamw_lr : options.lr)
            runs.push_back({{model, std::string(variant.name), lr, epochs, seed},
                            variant.needs_search() ? search.name() : std::string()});
    }
  return runs;
}

repopt::nn::BlockSpec shown_block(const StudyOptions& options, const std::string& model) {
  const std::vector<repopt::nn::BlockSpec> specs = repopt::nn::vgg_preset(model).block_specs();
  const auto found = std::find_if(specs.rbegin(), specs.rend(), [&](const repopt::nn::BlockSpec& spec) {
    return options.layer.empty() ? spec.has_identity() : spec.name == options.layer;
  });
  require(found != specs.rend(), "model '", model, "' has no block '", options.layer, "'");
  return *found;
}

StudyOptions smoke_options(const StudyOptions& given) {
  StudyOptions options{.out = given.out, .threads = given.threads, .page_only = given.page_only};
  options.data = "synthetic";
  options.models = {"cifar-small"};
  options.variants = {"plain", "rep-searched", "rep-sqrt", "repvgg"};
  options.epochs = {1, 2};
  options.search_epochs = 2;
  options.lr = {0.02, 0.05};
  options.seeds = 2;
  options.batch_size = 16;
  options.limit = 64;
  options.int8 = !given.page_only;
  return options;
}

std::filesystem::path run_folder(const StudyOptions& options, const std::string& name) {
  return options.out / "runs" / name;
}

std::vector<std::string> train_arguments(const StudyOptions& options, const PlannedRun& run) {
  const Variant& variant = find_variant(run.key.variant);
  std::vector<std::string> arguments{"train"};
  const auto add = [&](const char* option, const auto& value) {
    arguments.insert(arguments.end(), {option, concat(value)});
  };
  add("--data", options.data);
  add("--model", run.key.model);
  add("--mode", variant.mode);
  add("--optimizer", variant.optimizer);
  add("--lr", run.key.lr);
  add("--epochs", run.key.epochs);
  add("--batch-size", options.batch_size);
  add("--seed", run.key.seed);
  add("--threads", options.threads);
  add("--limit", options.limit);
  if (variant.needs_search()) {
    add("--scales", (run_folder(options, run.search) / "scales.safetensors").string());
    if (variant.scales == "averaged") arguments.push_back("--average-scales");
  } else if (!variant.scales.empty()) {
    add("--scales", variant.scales);
  }
  std::istringstream words{std::string(variant.options)};
  for (std::string word; words >> word;) arguments.push_back(word);
  add("--out", run_folder(options, run.key.name()).string());
  arguments.push_back("--resume");
  return arguments;
}

}  // namespace repopt_cifar::study
