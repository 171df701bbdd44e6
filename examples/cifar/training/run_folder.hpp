// RunFolder: the --out folder of a training, which belongs to one run at a time.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <utility>

#include "formats/file_lock.hpp"

namespace repopt_cifar {

/// What a training does if its folder holds a run already. A run is known by its checkpoint or its network.
enum class IfThere { refuse, resume, overwrite };

/// Throws std::invalid_argument if the file `out` belongs to a run, by whatever name: only the run's training writes
/// it.
void require_outside_runs(const std::filesystem::path& out);

/// The folder of a run, locked while a training uses it. The lock of a training that was killed is free.
class RunFolder {
 public:
  RunFolder(std::filesystem::path path, IfThere if_there) : path_(std::move(path)), if_there_(if_there) {}

  /// Looks at the folder and changes nothing. Throws std::invalid_argument if another training uses it, if it holds a
  /// run and `if_there` is refuse, or if it holds a network without a checkpoint and `if_there` is resume.
  void require_free();

  /// Creates the folder and locks it. With `overwrite`, removes the older run's files. Throws as require_free(),
  /// std::invalid_argument if another training has written a checkpoint since require_free(), and std::runtime_error if
  /// the folder cannot be written.
  void claim();

  /// Whether the run is to go on from a checkpoint: one is there, and `if_there` is resume.
  bool resumes() const { return if_there_ == IfThere::resume && std::filesystem::exists(checkpoint()); }

  /// Whether a training has used the folder.
  bool holds_run() const { return std::filesystem::exists(lock_file()) || std::filesystem::exists(checkpoint()); }

  /// The run's files.
  /// @{
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path model() const { return path_ / "model.safetensors"; }
  std::filesystem::path scales() const { return path_ / "scales.safetensors"; }
  std::filesystem::path metrics() const { return path_ / "metrics.csv"; }
  std::filesystem::path curves() const { return path_ / "curves.svg"; }
  std::array<std::filesystem::path, 5> files() const { return {checkpoint(), model(), scales(), metrics(), curves()}; }
  /// @}

 private:
  void lock();
  void require_usable() const;
  std::optional<std::filesystem::file_time_type> checkpoint_time() const;
  std::filesystem::path lock_file() const { return path_ / "train.lock"; }

  std::filesystem::path path_;
  IfThere if_there_;
  std::optional<FileLock> lock_;
  std::optional<std::filesystem::file_time_type> seen_;  ///< the time of the checkpoint in require_free(), if any
};

}  // namespace repopt_cifar
