#include "repopt/formats/atomic_file.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "support/temporary_folder.hpp"

using namespace repopt;
using testing::read_bytes;
using testing::TemporaryFolder;
using testing::write_bytes;

namespace {

/// Limits the size of every file to `bytes` while the object lives. This simulates a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

/// Takes away root's right to write everywhere while the object lives. For other users nothing changes.
class Unprivileged {
 public:
  /// Gives `folder` to the user `nobody`, and then becomes this user.
  explicit Unprivileged(const std::filesystem::path& folder) {
    if (::geteuid() != 0) return;
    constexpr uid_t nobody = 65534;
    changed_ = ::chown(folder.c_str(), nobody, gid_t(-1)) == 0 && ::seteuid(nobody) == 0;
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() {
    if (changed_ && ::seteuid(0) != 0) std::abort();
  }

 private:
  bool changed_ = false;
};

}  // namespace

TEST_CASE("A file appears with commit, replaces the old one, and leaves nothing else behind") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  write_bytes(path, "old");
  {
    formats::AtomicFile file(path);
    file.write("ne");
    file.write("w");
    CHECK(read_bytes(path) == "old");
    file.commit();
  }
  CHECK(read_bytes(path) == "new");
  CHECK(folder.count() == 1);
}

TEST_CASE("A file that is not committed leaves the old one and no temporary file") {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "old");
  formats::AtomicFile(folder / "file").write("new");
  CHECK(read_bytes(folder / "file") == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("When the disk is full, the old file stays, the temporary file is removed, and the error gives the reason") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  write_bytes(path, "old");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    try {
      formats::write_file(path, std::string(5000, 'x'));
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
  }
  CHECK(message == "cannot write " + path.string() + ": " + formats::reason(EFBIG));
  CHECK(read_bytes(path) == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("Devices, folders and missing folders are refused by name") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(formats::write_file("/dev/full", "x"), "cannot write /dev/full: it is not a regular file",
                       std::runtime_error);
  CHECK(std::filesystem::is_character_file("/dev/full"));
  CHECK_THROWS_WITH_AS(formats::write_file(folder.path(), "x"), doctest::Contains("not a regular file"),
                       std::runtime_error);
  const auto lost = folder / "none/file";
  CHECK_THROWS_WITH_AS(formats::write_file(lost, "x"),
                       ("cannot create " + lost.string() + ": " + formats::reason(ENOENT)).c_str(), std::runtime_error);
}

TEST_CASE("In a folder that is not writable the old file stays, and the error gives the reason") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  write_bytes(path, "old");
  {
    const Unprivileged user(folder.path());
    std::filesystem::permissions(folder.path(),
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
    CHECK_THROWS_WITH_AS(formats::write_file(path, "new"),
                         ("cannot create " + path.string() + ": " + formats::reason(EACCES)).c_str(),
                         std::runtime_error);
    std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
  }
  CHECK(read_bytes(path) == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("A killed process leaves a harmless temporary file, which the next writer reuses") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  write_bytes(path, "old");
  const pid_t child = ::fork();
  if (child == 0) {
    formats::AtomicFile file(path);
    file.write("half of a long text");
    ::raise(SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK(read_bytes(path) == "old");
  CHECK(folder.count() == 2);
  formats::write_file(path, "new");
  CHECK(read_bytes(path) == "new");
  CHECK(folder.count() == 1);
}

TEST_CASE("Several writers of one path do not touch each other's bytes, and the last to commit wins") {
  const TemporaryFolder folder;
  const auto path = folder / "file";
  {
    formats::AtomicFile first(path), second(path), third(path);
    first.write("first");
    second.write("second");
    third.write("third");
    second.commit();
    CHECK(read_bytes(path) == "second");
    formats::write_file(path, "fourth");
    first.commit();
    CHECK(read_bytes(path) == "first");
  }
  CHECK(read_bytes(path) == "first");
  CHECK(folder.count() == 1);
}

TEST_CASE("A symbolic link is followed, not replaced") {
  const TemporaryFolder folder, elsewhere;
  write_bytes(elsewhere / "file", "old");
  std::filesystem::create_symlink(elsewhere / "file", folder / "link");
  formats::write_file(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_bytes(elsewhere / "file") == "new");
}

TEST_CASE("A path without a folder names a file in the working folder") {
  const TemporaryFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  formats::write_file("file", "new");
  std::filesystem::current_path(before);
  CHECK(read_bytes(folder / "file") == "new");
}
