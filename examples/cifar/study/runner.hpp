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

/// Makes the runs that study.csv does not have yet. Each run is a process, so that its peak memory can be measured and
/// its crash does not end the study. Several processes, each with a Runner, may share one folder: each takes the next
/// run that no other process has taken.
class Runner {
 public:
  /// `program` is the path of repopt-cifar, which makes the runs. `conditions` must be those of `options`. If a run
  /// fails, its reason is added to `failures` under its name.
  Runner(const StudyOptions& options, const Conditions& conditions, std::string program,
         std::map<std::string, std::string>& failures);

  /// Makes all runs and calls `finished` after each. After Ctrl-C, the current run saves its checkpoint, from which the
  /// next call continues; then throws Interrupted.
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
