// Interrupt: notices Ctrl-C, so that a run can save what it has.
#pragma once

namespace repopt_cifar {

/// While one lives, SIGINT and SIGTERM are noted once; the same signal again ends the program at once.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool requested() const;
};

}  // namespace repopt_cifar
