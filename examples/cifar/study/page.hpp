// study.html: the results of a study on one page that loads no other files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "options.hpp"
#include "study/plan.hpp"
#include "study/results.hpp"

namespace repopt_cifar::study {

/// Returns the page as HTML that is also well-formed XML. It lists the planned runs that have no result, and the
/// reasons of `failures`. Reads quant.csv, layers.csv, fine_tuned.csv and the files of read_records(), and
/// nothing in the runs' folders.
std::string page(const StudyOptions& options, const std::vector<PlannedRun>& plan,
                 const std::vector<RunResult>& results, const std::map<std::string, std::string>& failures);

}  // namespace repopt_cifar::study
