// The study's plan: which runs there are, in which order, and what each asks of `repopt-cifar train`.
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

/// A way to train a network: a pair of an initialization and a multiplier, under a rule.
struct Variant {
  std::string_view name, mode, optimizer;
  std::string_view scales;          ///< "sqrt", "ones", "searched", "averaged" (over the channels), or "" for none
  std::string_view initialization;  ///< as --initialization
  std::string_view grad_mult;       ///< as --grad-mult
  std::string_view meaning;         ///< for the page
  std::string_view colour;          ///< in its pictures
  std::string_view paper;           ///< what the article reports for B1 on ImageNet, top-1 in %; "" for nothing

  /// Whether it needs the scales that a Hyper-Search found.
  bool needs_search() const { return scales == "searched" || scales == "averaged"; }
};

/// All variants, Hyper-Search itself first.
std::span<const Variant> all_variants();

/// The variant of that name. Throws std::invalid_argument that lists the names.
const Variant& find_variant(std::string_view name);

/// What tells one run of a study from another.
struct RunKey {
  std::string model, variant;
  double lr = 0;
  std::size_t epochs = 0;
  std::uint64_t seed = 0;

  bool operator==(const RunKey&) const = default;

  /// Its folder: "cifar-small-rep-searched-lr0.1-e12-s0".
  std::string name() const;
};

/// A run, and the Hyper-Search whose scales it takes: an empty name if it takes none.
struct PlannedRun {
  RunKey key;
  std::string search;
};

/// The epochs of a Hyper-Search.
std::size_t search_epochs(const StudyOptions& options);

/// The runs in their order: seed by seed a whole study, and before the runs that need it the Hyper-Search of their
/// model and seed. Throws std::invalid_argument if an option is wrong.
std::vector<PlannedRun> plan(const StudyOptions& options);

/// The block whose kernels the page shows: the one that was asked for, or the last one with an identity. Throws
/// std::invalid_argument if the model lacks it.
repopt::nn::BlockSpec shown_block(const StudyOptions& options, const std::string& model);

/// The settings of --smoke: generated pictures and networks trained for seconds, yet something in every section.
StudyOptions smoke_options(StudyOptions options);

/// The folder of a run, by its name.
std::filesystem::path run_folder(const StudyOptions& options, const std::string& name);

/// The arguments of `repopt-cifar` that make the run; `resume` from its checkpoint.
std::vector<std::string> train_arguments(const StudyOptions& options, const PlannedRun& run, bool resume);

}  // namespace repopt_cifar::study
