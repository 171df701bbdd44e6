#include "runner.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>
#include <utility>

#include "../commands.hpp"
#include "../progress.hpp"
#include "child.hpp"
#include "file_lock.hpp"
#include "repopt/core/error.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

constexpr std::chrono::milliseconds pause{100};

/// The last line of a file that is not empty.
std::string last_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string last;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) last = line;
  return last;
}

}  // namespace

Runner::Runner(const StudyOptions& options, std::string program, std::map<std::string, std::string>& failures)
    : options_(options), program_(std::move(program)), failures_(failures) {}

void Runner::run(std::vector<PlannedRun> runs, const std::function<void()>& finished) {
  std::erase_if(runs, [&](const PlannedRun& run) { return has_result(run.key); });
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
    }
    // What is left is other processes', or waits for a Hyper-Search of theirs.
    if (!advanced) std::this_thread::sleep_for(10 * pause);
    if (interrupt_.requested()) throw Interrupted("stopped; the same command goes on from there");
  }
}

Runner::Outcome Runner::attempt(const PlannedRun& run) {
  if (has_result(run.key)) return Outcome::done;
  if (failures_.contains(run.search)) return fail(run, concat("there are no scales: ", run.search, " failed"));
  const std::filesystem::path folder = run_folder(options_, run.key.name());
  const bool has_scales = std::filesystem::exists(run_folder(options_, run.search) / "scales.safetensors");
  if (!run.search.empty() && !has_scales) return Outcome::not_yet;
  std::filesystem::create_directories(folder);
  const FileLock lock(folder / "lock", FileLock::Wait::no);
  if (!lock.held()) return Outcome::not_yet;
  return has_result(run.key) || adopt(run) ? Outcome::done : make(run);
}

/// Takes the result of a run that ended well while nobody was there to note it.
bool Runner::adopt(const PlannedRun& run) {
  const std::filesystem::path folder = run_folder(options_, run.key.name());
  if (last_line(folder / "result.json").empty()) return false;
  add_result(options_.out, read_result(folder, run.key, options_.batch_size));
  return true;
}

Runner::Outcome Runner::make(const PlannedRun& run) {
  const std::filesystem::path folder = run_folder(options_, run.key.name());
  std::vector<std::string> arguments =
      train_arguments(options_, run, std::filesystem::exists(folder / "checkpoint.safetensors"));
  arguments.insert(arguments.begin(), program_);
  std::fprintf(stderr, "%s ...\n", run.key.name().c_str());
  const double start = seconds_now();
  Child child(arguments, folder / "result.json", folder / "log.txt");
  while (!child.exit_status()) {
    if (interrupt_.requested()) child.interrupt();
    std::this_thread::sleep_for(pause);
  }
  if (*child.exit_status() == 0) {
    const RunResult result = read_result(folder, run.key, options_.batch_size);
    add_result(options_.out, result);
    report(result, seconds_now() - start);
  }
  if (interrupt_.requested()) throw Interrupted("stopped; the same command goes on from there");
  if (*child.exit_status() == 0) return Outcome::done;
  return fail(run, concat("exit status ", *child.exit_status(), ": ", last_line(folder / "log.txt")));
}

Runner::Outcome Runner::fail(const PlannedRun& run, const std::string& reason) {
  std::fprintf(stderr, "%s: FAILED: %s\n", run.key.name().c_str(), reason.c_str());
  failures_[run.key.name()] = reason;
  return Outcome::failed;
}

bool Runner::has_result(const RunKey& key) const {
  const std::vector<RunResult> results = read_results(options_.out);
  return std::ranges::find(results, key, &RunResult::key) != results.end();
}

void Runner::report(const RunResult& result, double seconds) {
  ++made_;
  made_seconds_ += seconds;
  std::fprintf(stderr, "%s: %.2f %% in %.0f s; %zu runs left, about %.1f h\n", result.key.name().c_str(),
               100 * result.test_accuracy, seconds, left_ - 1,
               double(left_ - 1) * made_seconds_ / double(made_) / 3600);
}

}  // namespace repopt_cifar::study
