// `repopt-cifar study`.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../commands.hpp"
#include "../pictures.hpp"
#include "int8.hpp"
#include "page.hpp"
#include "plan.hpp"
#include "repopt/core/error.hpp"
#include "repopt/io/atomic_file.hpp"
#include "results.hpp"
#include "runner.hpp"

namespace repopt_cifar {

namespace {

/// Throws std::invalid_argument if the folder's results were made under other conditions than these options'.
void require_same_conditions(const StudyOptions& options) {
  const PictureSets pictures = PictureSets::load(options.data, options.limit);
  const study::Conditions here{pictures.train.name, pictures.train.size(), pictures.test.size(), options.batch_size};
  for (const study::RunResult& result : study::read_results(options.out))
    repopt::require(result.conditions == here, options.out.string(), " holds results on ",
                    study::describe(result.conditions), "; these would be on ", study::describe(here),
                    ": choose another --out");
}

}  // namespace

Json run_study(StudyOptions options, const std::string& program) {
  if (options.smoke) options = study::smoke_options(std::move(options));
  repopt::require(!options.data.empty() || options.page_only, "--data is needed, or --smoke or --page-only");
  options.out = std::filesystem::absolute(options.out).lexically_normal();
  const std::vector<study::PlannedRun> plan = study::plan(options);
  if (!options.page_only) require_same_conditions(options);
  std::filesystem::create_directories(options.out);
  std::fprintf(stderr, "%zu runs in %s\n", plan.size(), options.out.c_str());
  std::map<std::string, std::string> failures;
  const auto write_page = [&] {
    repopt::io::write_file(options.out / "study.html",
                           study::page(options, plan, study::read_results(options.out), failures));
  };
  // What the page cannot read does not end a study of hours; its own end says so again.
  const auto try_page = [&] {
    try {
      write_page();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "study.html: %s\n", error.what());
    }
  };
  if (!options.page_only) {
    study::Runner(options, program, failures).run(plan, try_page);
    if (options.int8) study::measure_int8(options, program, failures, try_page);
  }
  write_page();
  return {{"command", "study"},
          {"out", options.out.string()},
          {"page", (options.out / "study.html").string()},
          {"planned", plan.size()},
          {"results", study::read_results(options.out).size()},
          {"failed", failures}};
}

}  // namespace repopt_cifar
