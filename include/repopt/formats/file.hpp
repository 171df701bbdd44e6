// Reading a file whole, and the exception that tells what is wrong with one.
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

/// Throws std::runtime_error with the concatenated `message` unless `condition` holds: for files what require() is for
/// arguments.
template <class... Parts>
void require_file(bool condition, const Parts&... message) {
  if (!condition) throw std::runtime_error(concat(message...));
}

/// The operating system's words for an error number.
inline std::string reason(int error_number) { return std::system_category().message(error_number); }

/// The bytes of a regular file. Throws std::runtime_error, naming the path and the reason, if there is none or it
/// cannot be read.
inline std::vector<std::byte> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  require_file(std::filesystem::exists(status), path.string(), ": ", error ? error.message() : reason(ENOENT));
  require_file(std::filesystem::is_regular_file(status), path.string(), " is not a regular file");
  const auto size = std::filesystem::file_size(path, error);
  require_file(!error, path.string(), ": ", error.message());
  require_file(size <= std::numeric_limits<std::ptrdiff_t>::max(), path.string(), " has ", size, " bytes, too many");

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
