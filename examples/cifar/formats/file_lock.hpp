// FileLock: a lock that one process at a time can hold, by flock(2).
#pragma once

#include <filesystem>

namespace repopt_cifar {

/// Locks a file until the object is destroyed, and creates the file if it is missing. Programs that this one starts in
/// the meantime share the lock. So if this process is killed, they still hold it.
class FileLock {
 public:
  enum class Wait { no, yes };

  /// Locks the file. If another process holds the lock, either waits or leaves held() false. Throws std::runtime_error
  /// if the file cannot be opened or locked for another reason.
  FileLock(const std::filesystem::path& path, Wait wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  /// False if another process held the lock and `wait` was Wait::no.
  bool held() const { return held_; }

 private:
  int descriptor_;
  bool held_ = false;
};

}  // namespace repopt_cifar
