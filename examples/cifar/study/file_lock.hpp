// FileLock: one process at a time, by flock(2).
#pragma once

#include <filesystem>

namespace repopt_cifar::study {

/// Holds a lock on a file, which it makes if need be, until it is destroyed. Programs that this one starts meanwhile
/// share the lock, so that it outlives a parent that is killed.
class FileLock {
 public:
  enum class Wait { no, yes };

  /// Throws std::runtime_error if the file cannot be opened or locked; that another process has it is no error.
  FileLock(const std::filesystem::path& path, Wait wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  /// False if another process has it and there was no waiting.
  bool held() const { return held_; }

 private:
  int descriptor_;
  bool held_ = false;
};

}  // namespace repopt_cifar::study
