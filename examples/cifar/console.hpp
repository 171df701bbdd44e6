// What surrounds a subcommand: the standard streams, the result on stdout, and the exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>

#include "commands.hpp"

namespace repopt_cifar {

/// Makes sure that files which are opened later do not take the numbers of closed standard streams: opens /dev/null for
/// a closed stdin or stderr. Returns false, with a message on stderr, if stdout is closed.
bool prepare_streams();

/// Refuses empty values, which CLI11 would read as 0 or as no value, and counts that are negative or too large, which
/// it would read as the largest count there is.
void refuse_wrong_values(CLI::App& app);

/// Reads the command line. Returns the exit status if there is nothing to run: 0 after --help and --version, 1 after an
/// error, which it prints.
std::optional<int> parse(CLI::App& app, int argc, char** argv);

/// Runs a subcommand and prints its result as the last line of stdout. The exit status is 1 for an error, which a
/// result that cannot be written is, too, and 130 after Ctrl-C.
int run(const std::function<Json()>& command);

}  // namespace repopt_cifar
