// The runs that the page shows of a variant that was trained at several learning rates.
#pragma once

#include <algorithm>
#include <vector>

#include "study/plan.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

/// The runs of a variant that the page shows: those with its best learning rate.
struct Shown {
  const Variant* variant;
  const Group* group;

  bool has(const RunKey& run) const {
    return std::ranges::find(group->runs(), run, &RunResult::key) != group->runs().end();
  }
};

/// The variants that have runs of the usual number of epochs.
inline std::vector<Shown> shown_runs(const ModelSummary& summary) {
  std::vector<Shown> shown;
  for (const Variant& variant : all_variants())
    if (const Group* const group = summary.best(variant.name, summary.usual_epochs()))
      shown.push_back({&variant, group});
  return shown;
}

}  // namespace repopt_cifar::study
