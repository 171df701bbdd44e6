#include "study/runner.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "formats/file_lock.hpp"
#include "repopt/base/error.hpp"
#include "study/child.hpp"
#include "training/progress.hpp"

namespace repopt_cifar::study {

using repopt::concat;

Runner::Runner(const StudyOptions& options, const Conditions& conditions, std::string program,
               std::map<std::string, std::string>& failures)
    : options_(options), conditions_(conditions), program_(std::move(program)), failures_(failures) {}

void Runner::run(std::vector<PlannedRun> runs, const std::function<void()>& finished) {
  std::erase_if(runs, [&](const PlannedRun& run) { return has_result(run.key.name()); });
  while (!runs.empty()) {
    bool advanced = false;
    for (auto run = runs.begin(); run != runs.end();) {
      left_ = runs.size();
      const Outcome outcome = attempt(*run);
      if (outcome == Outcome::not_yet) {
        ++run;
        continue;
      }
      advanced = true;
      run = runs.erase(run);
      finished();
      if (interrupt_.requested()) stop();
    }
    // Other processes make the runs that are left, or make the Hyper-Searches that these runs need.
    if (!advanced) std::this_thread::sleep_for(std::chrono::seconds(1));
    if (interrupt_.requested()) stop();
  }
}

Runner::Outcome Runner::attempt(const PlannedRun& run) {
  if (has_result(run.key.name())) return Outcome::done;
  if (failures_.contains(run.search)) return fail(run, concat("there are no scales: ", run.search, " failed"));
  if (!run.search.empty() && !has_result(run.search)) return Outcome::not_yet;
  const std::filesystem::path folder = run_folder(options_, run.key.name());
  std::filesystem::create_directories(folder);
  const FileLock lock(folder / "lock", FileLock::Wait::no);
  if (!lock.held()) return Outcome::not_yet;
  if (has_result(run.key.name())) return Outcome::done;
  const std::filesystem::path result = folder / "result.json";
  return std::filesystem::exists(result) && std::filesystem::file_size(result) > 0 ? adopt(run) : make(run);
}

/// Takes the result of a run that finished after its study had ended.
Runner::Outcome Runner::adopt(const PlannedRun& run) {
  const std::filesystem::path folder = run_folder(options_, run.key.name());
  const RunResult result = read_result(folder, run.key, search_epochs(options_));
  if (result.conditions != conditions_)
    return fail(run, concat(folder.string(), " holds a run on ", describe(result.conditions), ", this would be on ",
                            describe(conditions_), ": remove the folder, or choose another --out"));
  add_result(options_.out, result);
  return Outcome::done;
}

Runner::Outcome Runner::make(const PlannedRun& run) {
  const std::filesystem::path folder = run_folder(options_, run.key.name());
  std::vector<std::string> arguments = train_arguments(options_, run);
  arguments.insert(arguments.begin(), program_);
  std::fprintf(stderr, "%s ...\n", run.key.name().c_str());
  const double start = seconds_now();
  const Ending ending = run_child(arguments, folder / "result.json", folder / "log.txt", interrupt_);
  if (ending.status != 0) return fail(run, concat("exit status ", ending.status, ": ", ending.last_words));
  const RunResult result = read_result(folder, run.key, search_epochs(options_));
  add_result(options_.out, result);
  report(result, seconds_now() - start);
  return Outcome::done;
}

Runner::Outcome Runner::fail(const PlannedRun& run, const std::string& reason) {
  std::fprintf(stderr, "%s: FAILED: %s\n", run.key.name().c_str(), reason.c_str());
  failures_[run.key.name()] = reason;
  return Outcome::failed;
}

bool Runner::has_result(const std::string& name) const {
  return std::ranges::any_of(read_results(options_.out), [&](const RunResult& r) { return r.key.name() == name; });
}

void Runner::report(const RunResult& result, double seconds) {
  ++made_;
  made_seconds_ += seconds;
  std::fprintf(stderr, "%s: %.2f %% in %.0f s; %zu runs left, about %.1f h\n", result.key.name().c_str(),
               100 * result.test_accuracy, seconds, left_ - 1,
               double(left_ - 1) * made_seconds_ / double(made_) / 3600);
}

}  // namespace repopt_cifar::study
