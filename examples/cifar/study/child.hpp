// Child: another program that runs beside this one.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "training/interrupt.hpp"

namespace repopt_cifar::study {

/// A program that was started. Its process group is its own, so that Ctrl-C reaches it through interrupt() alone.
class Child {
 public:
  /// Starts arguments[0], which is found as a shell finds it. Its stdout replaces the file `out`, its stderr is added
  /// to `err`. Throws std::runtime_error if it cannot be started.
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& out, const std::filesystem::path& err);

  /// Interrupts it and waits for its end.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Nothing while it runs; then its exit status, or 128 and the signal that ended it.
  std::optional<int> exit_status();

  /// Sends SIGINT, once.
  void interrupt();

 private:
  pid_t pid_ = 0;
  bool interrupted_ = false;
  std::optional<int> exit_status_;
};

/// How a program ended: its exit status as Child's, and the last line that it wrote to `err`.
struct Ending {
  int status = 0;
  std::string last_words;
};

/// Runs a program to its end, as a Child. Throws Interrupted when that has ended after Ctrl-C, unless it ended well.
Ending run_child(const std::vector<std::string>& arguments, const std::filesystem::path& out,
                 const std::filesystem::path& err, const Interrupt& interrupt);

/// What a study says to whom has interrupted it.
[[noreturn]] void stop();

}  // namespace repopt_cifar::study
