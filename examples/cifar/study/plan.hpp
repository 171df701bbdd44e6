// The plan of a study: its runs, their order, and their arguments for `repopt-cifar train`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt_cifar::study {

/// A way to train a network: a mode, an update rule, scales and further options.
struct Variant {
  std::string_view name, mode, optimizer;
  std::string_view scales;   ///< "sqrt", "ones", "searched", "averaged" (over the channels), or "": no scales
  std::string_view options;  ///< further arguments of `repopt-cifar train`, separated by spaces
  std::string_view meaning;  ///< its description on the page and in --help
  std::string_view colour;   ///< its colour in the page's pictures
  std::string_view paper;    ///< the article's top-1 accuracy in % for B1 on ImageNet; "": not reported

  /// Whether the variant needs the scales of a Hyper-Search.
  bool needs_search() const { return scales == "searched" || scales == "averaged"; }
};

/// The name of the variant that is Hyper-Search itself. Its run is also the search whose scales other variants take, so
/// its learning rate and number of epochs are those of searches.
inline constexpr std::string_view search_name = "hyper_search";

/// All variants. The first one is Hyper-Search itself.
std::span<const Variant> all_variants();

/// Returns the variant of that name. Throws std::invalid_argument that lists the names if there is none.
const Variant& find_variant(std::string_view name);

/// Identifies a run of a study.
struct RunKey {
  std::string model, variant;
  double lr = 0;
  std::size_t epochs = 0;
  std::uint64_t seed = 0;

  bool operator==(const RunKey&) const = default;

  /// The name of the run's folder: "cifar-small-rep-searched-lr0.1-e12-s0".
  std::string name() const;
};

/// A run, and the name of the Hyper-Search whose scales it takes. The name is empty if it takes none.
struct PlannedRun {
  RunKey key;
  std::string search;
};

/// Returns the number of epochs of a Hyper-Search.
std::size_t search_epochs(const StudyOptions& options);

/// Returns the runs in their order. All runs of one seed come before those of the next. A Hyper-Search comes before the
/// runs of the same model and seed that need it. Throws std::invalid_argument if an option is wrong.
std::vector<PlannedRun> plan(const StudyOptions& options);

/// Returns the block whose kernels the page shows: options.layer, or the last block with an identity if that is empty.
/// Throws std::invalid_argument if the model has no such block.
repopt::nn::BlockSpec shown_block(const StudyOptions& options, const std::string& model);

/// Returns the settings of --smoke: generated pictures, networks trained for seconds, and something in every section
/// but that of fine-tuning.
StudyOptions smoke_options(const StudyOptions& given);

/// Returns the folder of the run of that name.
std::filesystem::path run_folder(const StudyOptions& options, const std::string& name);

/// Returns the arguments of `repopt-cifar` for the run. It continues from its checkpoint if there is one.
std::vector<std::string> train_arguments(const StudyOptions& options, const PlannedRun& run);

}  // namespace repopt_cifar::study
