// Progress on stderr: a line that rewrites itself on a terminal, else a whole line now and then.
#pragma once

#include <chrono>
#include <cstddef>
#include <ctime>
#include <string>

namespace repopt_cifar {

/// Seconds since some fixed moment.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Adds the processor time, in seconds and over all threads, that the process uses while this lives. Unlike time on the
/// clock it hardly depends on what else the machine does.
class ProcessorTime {
 public:
  explicit ProcessorTime(double& seconds) : seconds_(seconds) {}
  ~ProcessorTime() { seconds_ += double(std::clock() - start_) / CLOCKS_PER_SEC; }
  ProcessorTime(const ProcessorTime&) = delete;
  ProcessorTime& operator=(const ProcessorTime&) = delete;

 private:
  double& seconds_;
  std::clock_t start_ = std::clock();
};

/// Shows how far a run is, with images/s and the time left.
class Progress {
 public:
  Progress();

  /// Shows `label`, `done` of `total` images and their speed, at most ten times a second (20 seconds between whole
  /// lines). `images_left` of the whole run give the time left.
  void show(const std::string& label, std::size_t done, std::size_t total, double images_per_second,
            std::size_t images_left);

  /// Removes the line from the terminal, so that ordinary output can follow.
  void clear();

 private:
  bool terminal_;
  double last_shown_;
  bool visible_ = false;
};

}  // namespace repopt_cifar
