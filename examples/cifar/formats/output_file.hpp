// Checks of --out, before work begins whose result it is to take.
#pragma once

#include <filesystem>
#include <vector>

namespace repopt_cifar {

/// Throws unless the file `out` can be written: std::invalid_argument if it is one of `inputs`, by whatever name, and
/// std::runtime_error with the system's reason if the folder is missing or not writable. Changes nothing.
void require_output(const std::filesystem::path& out, const std::vector<std::filesystem::path>& inputs);

/// Returns the files of pictures in a folder of CIFAR, *.bin; none if there is no such folder.
std::vector<std::filesystem::path> pictures_in(const std::filesystem::path& folder);

/// Throws std::invalid_argument unless the name of the picture `out` ends in .svg.
void require_svg(const std::filesystem::path& out);

/// Creates a folder for output, with its parents. Throws std::runtime_error with the system's reason if this fails.
void create_folder(const std::filesystem::path& folder);

}  // namespace repopt_cifar
