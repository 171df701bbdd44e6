// AtomicFile: a file that appears whole or not at all. On POSIX systems it is written beside its place, synced with
// fsync and renamed; then the folder is synced.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "repopt/base/error.hpp"
#include "repopt/formats/file.hpp"

namespace repopt::formats {

/// A file that is written to a temporary file in the folder of `path`; commit() renames that file to `path`. Before
/// commit(), and after any error, an older file at `path` is unchanged. The destructor removes the temporary file. If
/// the process is killed, the temporary file stays until the next writer of `path` reuses it. A writer holds a lock
/// (flock) on its temporary file.
class AtomicFile {
 public:
  /// Throws std::runtime_error if the folder is missing or not writable, or if `path` exists and is not a regular file.
  /// The message names the path and the system's reason. A symbolic link is followed, not replaced.
  explicit AtomicFile(const std::filesystem::path& path) : path_(followed(path)) {
    std::error_code error;
    const auto status = std::filesystem::status(path_, error);
    require_file(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), "cannot write ",
                 path_.string(), ": it is not a regular file");
    for (int number = 0; !open_temporary(number); ++number)
      if (descriptor_ >= 0) ::close(descriptor_);
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  ~AtomicFile() {
    if (!committed_) ::unlink(temporary_.c_str());
    ::close(descriptor_);
  }

  /// Appends bytes to the temporary file. Throws std::runtime_error, e.g. if the disk is full.
  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto written = ::write(descriptor_, bytes.data(), bytes.size());
      if (written >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(written));
      } else if (errno != EINTR) {
        fail("write", errno);
      }
    }
  }

  /// The same for text.
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Makes the file appear at `path`. Call it once, after the last write(). Throws std::runtime_error if that fails.
  /// The older file then stays, with one exception: if syncing the folder fails, the new file is in place, but its name
  /// may be lost if the machine loses power.
  void commit() {
    if (::fsync(descriptor_) != 0) fail("sync", errno);
    // The file is closed last, because closing releases the lock. Errors of close() need no check: fsync has reported
    // them.
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename", errno);
    committed_ = true;
    sync_folder();
  }

 private:
  /// Opens and empties temporary file number `number`. Returns false if another writer uses it.
  bool open_temporary(int number) {
    temporary_ = path_;
    temporary_ += concat(".", number, ".part");
    const int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
    descriptor_ = ::open(temporary_.c_str(), flags | O_CREAT | O_EXCL, 0666);
    const bool made = descriptor_ >= 0;
    if (!made && errno != EEXIST) fail("create", errno);
    if (!made) descriptor_ = ::open(temporary_.c_str(), flags);
    if (descriptor_ < 0) return false;
    // Some network file systems have no locks. There only a file that was created just now surely belongs to nobody
    // else.
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) return made && errno != EWOULDBLOCK;
    return is_temporary() && ::ftruncate(descriptor_, 0) == 0;
  }

  /// Whether the open file is still the file of that name: its writer may have renamed it before we got the lock.
  bool is_temporary() const {
    struct stat open {
    }, named{};
    return ::fstat(descriptor_, &open) == 0 && ::lstat(temporary_.c_str(), &named) == 0 &&
           open.st_dev == named.st_dev && open.st_ino == named.st_ino;
  }

  static std::filesystem::path followed(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_symlink(path, error)) return path;
    auto target = std::filesystem::canonical(path, error);
    require_file(!error, "cannot follow the link ", path.string(), ": ", error.message());
    return target;
  }

  void sync_folder() const {
    const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) fail("sync the folder of", errno);
    const int error = ::fsync(descriptor) == 0 ? 0 : errno;
    ::close(descriptor);
    // EINVAL: the file system cannot sync folders.
    if (error != 0 && error != EINVAL) fail("sync the folder of", error);
  }

  [[noreturn]] void fail(std::string_view verb, int error_number) const {
    throw std::runtime_error(concat("cannot ", verb, " ", path_.string(), ": ", reason(error_number)));
  }

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
};

/// Writes a whole file with AtomicFile, and throws in the same cases.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace repopt::formats
