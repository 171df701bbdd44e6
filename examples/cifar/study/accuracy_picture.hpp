// The picture of a study's main result: accuracy over time with and without the prior.
#pragma once

#include <string>

#include "study/records.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

/// Returns an SVG picture of test accuracy over the seconds of training, for the plain network, the ways to give it the
/// prior, and the multi-branch networks. Variants that were not run are left out. Returns "" if none was run.
std::string accuracy_svg(const ModelSummary& summary, const Records& records);

}  // namespace repopt_cifar::study
