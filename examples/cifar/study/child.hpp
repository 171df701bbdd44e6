// Child: a program that this one starts and waits for.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "training/interrupt.hpp"

namespace repopt_cifar::study {

/// A program that was started. It has its own process group, so Ctrl-C does not reach it. interrupt() does.
class Child {
 public:
  /// Starts arguments[0], searched in PATH as a shell does. Its stdout replaces the file `out`, and its stderr is
  /// appended to the file `err`. Throws std::runtime_error if it cannot be started.
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& out, const std::filesystem::path& err);

  /// Interrupts the program and waits for its end.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Nothing while the program runs. Then its exit status, or 128 plus the number of the signal that ended it.
  std::optional<int> exit_status();

  /// Sends SIGINT. Later calls do nothing.
  void interrupt();

 private:
  pid_t pid_ = 0;
  bool interrupted_ = false;
  std::optional<int> exit_status_;
};

/// How a program ended: the exit status as in Child, and the last line that it wrote to `err`.
struct Ending {
  int status = 0;
  std::string last_words;
};

/// Runs a program as a Child until it ends. Ctrl-C interrupts the program. If it then fails, throws Interrupted.
Ending run_child(const std::vector<std::string>& arguments, const std::filesystem::path& out,
                 const std::filesystem::path& err, const Interrupt& interrupt);

/// Throws the Interrupted of a study, whose message says how to continue.
[[noreturn]] void stop();

}  // namespace repopt_cifar::study
