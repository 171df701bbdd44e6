// Interrupt: notices Ctrl-C, so that a run can save its state before it ends.
#pragma once

namespace repopt_cifar {

/// Catches the first SIGINT, the first SIGTERM and each SIGHUP while the object lives; but SIGHUP stays ignored if it
/// was, as under nohup. A second SIGINT or SIGTERM ends the program at once.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Whether a signal came since the constructor.
  bool requested() const;
};

}  // namespace repopt_cifar
