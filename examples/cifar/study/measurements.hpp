// What a study measures of networks that its runs have trained: each measurement is a run of a program.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "study/plan.hpp"

namespace repopt_cifar::study {

/// A measurement of the network of a run.
struct Measurement {
  RunKey run;
  std::string name;                    ///< "int8": the run's folder has its output in int8.json and int8.txt
  std::vector<std::string> arguments;  ///< what repopt-cifar is called with, but for the network and the pictures

  /// Takes over the JSON that the program wrote. Throws and takes nothing if it is wrong.
  std::function<void(const std::filesystem::path& json)> take;
};

/// Makes the measurements that `list` returns, one after another, for the file `table` of the study's folder. `program`
/// is started once for each. Calls `save` and `finished` after each that succeeds. If one fails or its result is wrong,
/// adds the reason to `failures` under the name of the run, "-" and the measurement's name. While another process holds
/// the lock of `table`, measures nothing and adds the reason under `table`. Throws what `save` throws, and Interrupted
/// after Ctrl-C.
void measure_networks(const StudyOptions& options, const std::string& program, std::string_view table,
                      const std::function<std::vector<Measurement>()>& list, const std::function<void()>& save,
                      std::map<std::string, std::string>& failures, const std::function<void()>& finished);

}  // namespace repopt_cifar::study
