// study.html: all that a study found, on one page that needs nothing else.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "options.hpp"
#include "study/plan.hpp"
#include "study/results.hpp"

namespace repopt_cifar::study {

/// The page, as HTML that is well-formed XML. What was planned and not run is named, `failures` with their reasons.
/// Reads metrics, networks and scales of the runs' folders as far as they are there.
std::string page(const StudyOptions& options, const std::vector<PlannedRun>& plan,
                 const std::vector<RunResult>& results, const std::map<std::string, std::string>& failures);

}  // namespace repopt_cifar::study
