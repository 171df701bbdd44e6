#include "study/measurements.hpp"

#include <cstdio>
#include <exception>
#include <stdexcept>

#include "commands.hpp"
#include "formats/file_lock.hpp"
#include "repopt/base/error.hpp"
#include "study/child.hpp"
#include "training/interrupt.hpp"

namespace repopt_cifar::study {

using repopt::concat;

namespace {

/// Throws std::runtime_error with the reason if the measurement fails.
void measure(const StudyOptions& options, const std::string& program, const Measurement& measurement,
             const Interrupt& interrupt) {
  const std::filesystem::path folder = run_folder(options, measurement.run.name());
  const std::filesystem::path weights = folder / "model.safetensors", json = folder / (measurement.name + ".json");
  if (!std::filesystem::exists(weights)) throw std::runtime_error("there is no model.safetensors to quantize");
  std::vector<std::string> arguments{program};
  arguments.insert(arguments.end(), measurement.arguments.begin(), measurement.arguments.end());
  arguments.insert(arguments.end(), {"--weights", weights.string(), "--data", options.data, "--limit",
                                     concat(options.limit), "--threads", concat(options.threads)});
  const Ending ending = run_child(arguments, json, folder / (measurement.name + ".txt"), interrupt);
  if (ending.status != 0) throw std::runtime_error(ending.last_words);
  measurement.take(json);
}

}  // namespace

void measure_networks(const StudyOptions& options, const std::string& program, std::string_view table,
                      const std::function<std::vector<Measurement>()>& list, const std::function<void()>& save,
                      std::map<std::string, std::string>& failures, const std::function<void()>& finished) {
  const auto fail = [&](const std::string& name, const std::string& reason) {
    std::fprintf(stderr, "%s: FAILED: %s\n", name.c_str(), reason.c_str());
    failures[name] = reason;
  };
  const Interrupt interrupt;
  const std::filesystem::path lock_file = options.out / concat(table, ".lock");
  const FileLock lock(lock_file, FileLock::Wait::no);
  if (!lock.held())
    return fail(std::string(table),
                concat("no network was measured, because another process holds ", lock_file.string(),
                       ": another study, or a program that a killed study left behind; repeat the command when that "
                       "process has ended"));
  for (const Measurement& measurement : list()) {
    if (interrupt.requested()) stop();
    const std::string name = concat(measurement.run.name(), "-", measurement.name);
    try {
      measure(options, program, measurement, interrupt);
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      fail(name, error.what());
      continue;
    }
    save();
    std::fprintf(stderr, "%s: measured\n", name.c_str());
    finished();
  }
  if (interrupt.requested()) stop();
}

}  // namespace repopt_cifar::study
