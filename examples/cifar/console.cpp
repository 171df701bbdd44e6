#include "console.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>

#include "repopt/base/error.hpp"
#include "repopt/formats/file.hpp"
#include "training/processes.hpp"

namespace repopt_cifar {

namespace {

constexpr const char* first_steps =
    "repopt-cifar trains networks on small pictures. `repopt-cifar train --data synthetic` needs no files; `sh "
    "examples/run.sh`\nfetches CIFAR-10 and trains on it. `repopt-cifar --help` lists the subcommands, and "
    "`repopt-cifar train --help` the options.\n";

/// Writes what stdout holds back. Returns 0, or 1 with a message if that or an earlier write failed. `errno` must have
/// been 0 before the first write.
int flush_stdout(const char* what) {
  if (std::cout.flush() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
  std::fprintf(stderr, "error: cannot write %s to stdout: %s\n", what,
               errno != 0 ? repopt::formats::reason(errno).c_str() : "it takes no more");
  return 1;
}

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) != -1; }

}  // namespace

bool prepare_streams() {
  const bool has_stdout = is_open(STDOUT_FILENO);
  // The lowest free number is taken, so that in this order each closed stream gets its own. The descriptors stay open.
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (!is_open(descriptor) && ::open("/dev/null", O_RDWR) != descriptor) return false;
  if (!has_stdout) std::fprintf(stderr, "error: stdout is closed, so the result could not be written\n");
  return has_stdout;
}

void refuse_wrong_values(CLI::App& app) {
  const auto fault_of_count = [](const std::string& text) -> std::string {
    if (text.starts_with('-')) return repopt::concat("must not be negative, it is ", text);
    std::uint64_t value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc::result_out_of_range ? repopt::concat("is too large: ", text) : "";
  };
  for (CLI::Option* const option : app.get_options()) {
    const char* const fault =
        option->get_required() ? "has an empty value" : "has an empty value: leave the option out for its default";
    const auto fault_of_text = [fault](const std::string& text) -> std::string { return text.empty() ? fault : ""; };
    if (option->get_items_expected_max() > 0) option->check(CLI::Validator(fault_of_text, ""));
    if (option->get_type_name().starts_with("UINT")) option->check(CLI::Validator(fault_of_count, ""));
  }
}

std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  if (argc == 1) {
    std::fputs(first_steps, stderr);
    return 1;
  }
  errno = 0;
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    const bool is_wrong = app.exit(error) != 0;
    const int written = flush_stdout("the text");
    return is_wrong ? 1 : written;
  }
}

int run(const std::function<Json()>& command) {
  try {
    const Json result = command();
    if (!Processes::is_first()) return 0;
    errno = 0;
    std::printf("%s\n", result.dump().c_str());
    return flush_stdout("the result");
  } catch (const Interrupted& interrupted) {
    if (Processes::is_first()) std::fprintf(stderr, "%s\n", interrupted.what());
    return 130;
  } catch (const std::exception& error) {
    const std::string who = Processes::size() > 1 ? repopt::concat("process ", Processes::rank(), ": ") : "";
    std::fprintf(stderr, "%serror: %s\n", who.c_str(), error.what());
    return 1;
  }
}

}  // namespace repopt_cifar
