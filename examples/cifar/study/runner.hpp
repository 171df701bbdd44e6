// Runner: makes the runs of a plan, each in a process of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "options.hpp"
#include "study/plan.hpp"
#include "study/results.hpp"
#include "training/interrupt.hpp"

namespace repopt_cifar::study {

/// Makes runs that study.csv lacks. A run is a process, for its peak memory to be its own and its crash no other's.
/// Several runners, in processes of their own, may share one folder: each takes the next run that nobody has.
class Runner {
 public:
  /// Runs are made by `program`, a repopt-cifar, under `conditions`, which those of `options` must be. Those that fail
  /// are put into `failures`, by name, with the reason.
  Runner(const StudyOptions& options, const Conditions& conditions, std::string program,
         std::map<std::string, std::string>& failures);

  /// Makes all runs and calls `finished` after each. Throws Interrupted after Ctrl-C: the run then has saved its
  /// checkpoint, from which a next call goes on.
  void run(std::vector<PlannedRun> runs, const std::function<void()>& finished);

 private:
  enum class Outcome { done, failed, not_yet };

  Outcome attempt(const PlannedRun& run);
  Outcome adopt(const PlannedRun& run);
  Outcome make(const PlannedRun& run);
  Outcome fail(const PlannedRun& run, const std::string& reason);
  bool has_result(const std::string& name) const;
  void report(const RunResult& result, double seconds);

  StudyOptions options_;
  Conditions conditions_;
  std::string program_;
  Interrupt interrupt_;
  std::map<std::string, std::string>& failures_;
  std::size_t left_ = 0, made_ = 0;
  double made_seconds_ = 0;
};

}  // namespace repopt_cifar::study
