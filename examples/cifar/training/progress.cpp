#include "training/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "repopt/base/error.hpp"

namespace repopt_cifar {

namespace {

bool is_terminal() {
  const char* const term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && std::getenv("CI") == nullptr && term && std::string_view(term) != "dumb";
}

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string duration(double seconds) {
  const auto whole = static_cast<std::size_t>(seconds + 0.5);
  return whole >= 3600 ? repopt::concat(whole / 3600, " h ", whole / 60 % 60, " min")
                       : repopt::concat(whole / 60, " min ", whole % 60, " s");
}

}  // namespace

Progress::Progress() : terminal_(is_terminal()), last_shown_(seconds_now()) {}

void Progress::show(const std::string& label, std::size_t done, std::size_t total, double images_per_second,
                    std::size_t images_left) {
  const double now = seconds_now();
  if (now - last_shown_ < (terminal_ ? 0.1 : 20.0)) return;
  last_shown_ = now;
  std::string line =
      repopt::concat(label, "  ", done, "/", total, " images  ", static_cast<std::size_t>(images_per_second),
                     " images/s  ", duration(double(images_left) / images_per_second), " left");
  if (terminal_) {
    line.resize(std::min(line.size(), terminal_width() - 1));
    std::fprintf(stderr, "\r%s\033[K", line.c_str());
    visible_ = true;
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

void Progress::clear() {
  if (visible_) std::fputs("\r\033[K", stderr);
  visible_ = false;
}

}  // namespace repopt_cifar
