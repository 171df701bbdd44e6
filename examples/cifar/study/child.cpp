#include "study/child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "commands.hpp"
#include "repopt/formats/file.hpp"

extern char** environ;  // no header of POSIX declares it

namespace repopt_cifar::study {

Child::Child(const std::vector<std::string>& arguments, const std::filesystem::path& out,
             const std::filesystem::path& err) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  const int error = ::posix_spawnp(&pid_, argv[0], &files, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  repopt::formats::require_file(error == 0, "cannot start ", arguments.front(), ": ", repopt::formats::reason(error));
}

Child::~Child() {
  interrupt();
  while (!exit_status()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

std::optional<int> Child::exit_status() {
  int status = 0;
  if (!exit_status_ && ::waitpid(pid_, &status, WNOHANG) != 0)
    exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_status_;
}

void Child::interrupt() {
  if (!interrupted_ && !exit_status()) ::kill(pid_, SIGINT);
  interrupted_ = true;
}

namespace {

/// Returns the last line of a file that is not empty.
std::string last_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string last;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) last = line;
  return last;
}

}  // namespace

Ending run_child(const std::vector<std::string>& arguments, const std::filesystem::path& out,
                 const std::filesystem::path& err, const Interrupt& interrupt) {
  Child child(arguments, out, err);
  while (!child.exit_status()) {
    if (interrupt.requested()) child.interrupt();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  if (*child.exit_status() != 0 && interrupt.requested()) stop();
  return {*child.exit_status(), last_line(err)};
}

void stop() { throw Interrupted("stopped; the same command continues the study"); }

}  // namespace repopt_cifar::study
