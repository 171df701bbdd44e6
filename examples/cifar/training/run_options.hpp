// The options that shape a run: one list, from which its result, its network's file and its checkpoint take them.
#pragma once

#include <string>
#include <vector>

#include "commands.hpp"

namespace repopt_cifar {

/// An option of `train` and its value in a run.
struct RunOption {
  std::string name;   ///< its name on the command line, with '_' for '-'
  Json value;         ///< null if the option is not used
  bool binds = true;  ///< whether a run that resumes must have the same value
};

/// Returns every option that can change the network that a run ends with. `options` must have its defaults filled in.
std::vector<RunOption> run_options(const TrainOptions& options);

/// Returns the options as one object.
Json to_json(const std::vector<RunOption>& options);

/// Returns the value as checkpoints write it: "yes" or "no", "none" for null, and file names between commas, or "all".
std::string checkpoint_text(const Json& value);

}  // namespace repopt_cifar
