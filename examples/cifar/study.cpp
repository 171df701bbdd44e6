// `repopt-cifar study`: a comparison of many ways to train a network.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "commands.hpp"
#include "data/pictures.hpp"
#include "formats/output_file.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "study/accuracy_picture.hpp"
#include "study/fine_tuning.hpp"
#include "study/int8.hpp"
#include "study/layers.hpp"
#include "study/page.hpp"
#include "study/plan.hpp"
#include "study/records.hpp"
#include "study/results.hpp"
#include "study/runner.hpp"

namespace repopt_cifar {

namespace {

/// Returns the conditions that all runs with these options share.
study::Conditions conditions_of(const StudyOptions& options) {
  const PictureSets pictures = PictureSets::load(options.data, options.limit);
  print_note(pictures);
  return {pictures.train.name, pictures.train.size(), pictures.test.size(), options.batch_size,
          study::search_epochs(options)};
}

/// Throws std::invalid_argument if the folder's results were made under other conditions.
void require_same_conditions(const StudyOptions& options, const study::Conditions& here) {
  for (const study::RunResult& result : study::read_results(options.out)) {
    repopt::require(result.conditions == here, options.out.string(), " holds results on ",
                    study::describe(result.conditions), "; these would be on ", study::describe(here),
                    ": choose another --out");
    repopt::require(result.key.variant != study::search_name || result.key.lr == options.search_lr,
                    options.out.string(), " holds a Hyper-Search of learning rate ", result.key.lr,
                    "; this one would be of ", options.search_lr, ": choose another --out");
  }
}

/// Throws std::runtime_error that names a wrong line of a file that the study reads again after hours of work.
void require_readable_tables(const std::filesystem::path& out) {
  study::read_int8_results(out);
  study::read_layers(out);
  study::read_fine_tuning(out);
  study::read_records(out);
}

/// Writes accuracy-MODEL.svg for each model that has runs.
void write_accuracy_pictures(const StudyOptions& options, const std::vector<study::RunResult>& results) {
  const study::Records records = study::read_records(options.out);
  for (const repopt::nn::VggConfig& preset : repopt::nn::vgg_presets()) {
    const study::ModelSummary summary(preset.name, results, records.epoch_seconds(preset.name));
    if (summary.groups().empty()) continue;
    if (const std::string picture = study::accuracy_svg(summary, records); !picture.empty())
      repopt::formats::write_file(options.out / ("accuracy-" + preset.name + ".svg"), picture);
  }
}

}  // namespace

Json run_study(StudyOptions options, const std::string& program) {
  repopt::require(!options.page_only || (!options.int8 && options.fine_tune_epochs == 0),
                  "--page-only measures nothing: leave it out, or leave --int8 and --fine-tune-epochs out");
  if (options.smoke) options = study::smoke_options(options);
  repopt::require(!options.data.empty() || options.page_only, "study needs --data, --smoke or --page-only");
  options.out = std::filesystem::absolute(options.out).lexically_normal();
  const std::vector<study::PlannedRun> plan = study::plan(options);
  study::Conditions conditions;
  if (options.page_only) {
    repopt::require(std::filesystem::exists(options.out / "study.csv"), "--page-only: ", options.out.string(),
                    " has no study.csv: name the --out of a study");
  } else {
    conditions = conditions_of(options);
    require_same_conditions(options, conditions);
    require_readable_tables(options.out);
    create_folder(options.out);
  }
  require_output(options.out / "study.html", {});
  std::fprintf(stderr, "%zu runs in %s\n", plan.size(), options.out.c_str());
  std::map<std::string, std::string> failures;
  const auto write_page = [&] {
    study::add_records(options);
    const std::vector<study::RunResult> results = study::read_results(options.out);
    repopt::formats::write_file(options.out / "study.html", study::page(options, plan, results, failures));
    write_accuracy_pictures(options, results);
  };
  // A file that the page cannot read must not stop a study of hours. The last write_page() throws if it still fails.
  const auto try_page = [&] {
    try {
      write_page();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "study.html: %s\n", error.what());
    }
  };
  if (!options.page_only) {
    study::Runner(options, conditions, program, failures).run(plan, try_page);
    if (options.int8) study::measure_int8(options, program, failures, try_page);
    if (options.fine_tune_epochs > 0) study::measure_fine_tuning(options, plan, program, failures, try_page);
  }
  write_page();
  const std::vector<study::RunResult> results = study::read_results(options.out);
  const bool has_result = std::ranges::any_of(plan, [&](const study::PlannedRun& run) {
    return std::ranges::find(results, run.key, &study::RunResult::key) != results.end();
  });
  repopt::require(has_result || failures.empty(), "every run failed; ", failures.begin()->first, ": ",
                  failures.begin()->second);
  return {{"command", "study"},     {"out", options.out.string()}, {"page", (options.out / "study.html").string()},
          {"planned", plan.size()}, {"results", results.size()},   {"failed", failures}};
}

}  // namespace repopt_cifar
