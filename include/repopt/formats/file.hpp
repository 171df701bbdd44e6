// read_file reads a whole file; require_file throws an exception that says what is wrong with a file.
#pragma once

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <ios>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "repopt/base/error.hpp"

namespace repopt::formats {

/// Throws std::runtime_error with the concatenated `message` unless `condition` holds. It checks files as require()
/// checks arguments.
template <class... Parts>
void require_file(bool condition, const Parts&... message) {
  if (!condition) throw std::runtime_error(concat(message...));
}

/// The operating system's text for an error number.
inline std::string reason(int error_number) { return std::system_category().message(error_number); }

/// Returns the bytes of a regular file. Throws std::runtime_error if there is no such file or it cannot be read. The
/// message names the path and the reason.
inline std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  require_file(std::filesystem::exists(status), path.string(), ": ", error ? error.message() : reason(ENOENT));
  require_file(std::filesystem::is_regular_file(status), path.string(), " is not a regular file");
  const auto size = std::filesystem::file_size(path, error);
  require_file(!error, path.string(), ": ", error.message());
  require_file(size <= std::numeric_limits<std::ptrdiff_t>::max(), path.string(), " has ", size,
               " bytes, too many to read");

  errno = 0;
  std::ifstream file(path, std::ios::binary);
  require_file(file.is_open(), "cannot open ", path.string(), ": ", reason(errno));
  std::vector<std::byte> bytes(size);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  require_file(static_cast<std::size_t>(file.gcount()) == size, "cannot read ", path.string(), ": got ", file.gcount(),
               " of ", size, " bytes");
  return bytes;
}

}  // namespace repopt::formats
