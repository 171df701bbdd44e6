#include "formats/output_file.hpp"

#include <system_error>

#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"

namespace repopt_cifar {

void require_output(const std::filesystem::path& out, const std::vector<std::filesystem::path>& inputs) {
  std::error_code none;  // a file that does not exist is no other file
  for (const std::filesystem::path& input : inputs)
    repopt::require(!std::filesystem::equivalent(out, input, none), "--out ", out.string(), " is the file ",
                    input.string(), ", which would be lost: choose another --out");
  repopt::formats::AtomicFile{out};
}

std::vector<std::filesystem::path> pictures_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code none;  // what is no folder has no files
  for (std::filesystem::directory_iterator entry(folder, none), end; entry != end; entry.increment(none))
    if (entry->path().extension() == ".bin") files.push_back(entry->path());
  return files;
}

void require_svg(const std::filesystem::path& out) {
  std::filesystem::path svg = out;
  repopt::require(out.extension() == ".svg", "--out is '", out.string(),
                  "', but the picture is written as SVG: name it ", svg.replace_extension(".svg").string());
}

void create_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  repopt::formats::require_file(!error, "cannot create the folder ", folder.string(), ": ", error.message());
}

}  // namespace repopt_cifar
