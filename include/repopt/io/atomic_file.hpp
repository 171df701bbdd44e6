// AtomicFile: a file that appears whole or not at all (POSIX: write to a neighbour, fsync, rename, fsync the folder).
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "repopt/core/error.hpp"
#include "repopt/io/file.hpp"

namespace repopt::io {

/// Writes to a temporary file in the folder of `path`, which commit() renames to `path`. Until then, and whenever
/// something fails, an older file at `path` stays as it is; the destructor removes the temporary file.
class AtomicFile {
 public:
  /// Throws std::runtime_error, naming the path and the system's reason, if the folder is missing or not writable, or
  /// `path` is something other than a regular file. A symbolic link is followed, not replaced.
  explicit AtomicFile(const std::filesystem::path& path) : path_(followed(path)) {
    std::error_code error;
    const auto status = std::filesystem::status(path_, error);
    require_file(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), "cannot write ",
                 path_.string(), ": it is not a regular file");
    for (int attempt = 0; descriptor_ < 0; ++attempt) {
      temporary_ = path_;
      temporary_ += concat(".", ::getpid(), "-", attempt, ".part");
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor_ < 0 && errno != EEXIST) fail("create", errno);
    }
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  ~AtomicFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!committed_) ::unlink(temporary_.c_str());
  }

  /// Throws std::runtime_error, e.g. if the disk is full.
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

  /// Makes the file appear. Throws std::runtime_error if that fails; only an error of the folder's fsync leaves the new
  /// file in place, whose name may then be lost if the machine loses power. Call it once, last.
  void commit() {
    if (::fsync(descriptor_) != 0) fail("sync", errno);
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("close", errno);
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename", errno);
    committed_ = true;
    sync_folder();
  }

 private:
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
    if (error != 0 && error != EINVAL) fail("sync the folder of", error);  // EINVAL: a file system without that notion
  }

  [[noreturn]] void fail(std::string_view verb, int error_number) const {
    throw std::runtime_error(concat("cannot ", verb, " ", path_.string(), ": ", reason(error_number)));
  }

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
};

/// Writes a whole file by way of AtomicFile; throws as it does.
inline void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace repopt::io
