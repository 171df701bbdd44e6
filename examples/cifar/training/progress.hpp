// Progress on stderr: on a terminal one line that is rewritten, elsewhere a new line every 20 seconds.
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

/// Adds to a number the processor time in seconds, over all threads, that the process uses while this object lives.
/// Other programs on the machine hardly change this time, unlike the time on the clock.
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

/// Shows the progress of a run, with images/s and the time left.
class Progress {
 public:
  Progress();

  /// Shows `label`, `done` of `total` images and the speed. Does nothing if the last line is younger than 0.1 seconds,
  /// or 20 seconds where there is no terminal. The time left is that for `images_left`, the images left in the whole
  /// run.
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
