// Fuzz target: whatever the files of a CIFAR folder hold, they are pictures with possible labels, or std::runtime_error
// is thrown.
//
// Of an input, byte 0 says by its bits: 1 CIFAR-100; 2 the class names have a file; 4 the last record is filled up.
// Byte 1 is the length of that file, which comes next; the pictures' file is the rest.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>

#include "repopt/io/cifar.hpp"
#include "support/temporary_folder.hpp"

namespace {

using repopt::io::ImageDataset;

void require_sound(const ImageDataset& data) {
  const bool sound = data.size() > 0 && data.pixels.size() == data.size() * ImageDataset::image &&
                     data.class_names.size() == data.classes &&
                     std::ranges::all_of(data.labels, [&](std::uint8_t label) { return label < data.classes; });
  if (!sound) std::abort();
}

void write_folder(const std::filesystem::path& folder, std::string_view input) {
  const bool cifar_100 = input[0] & 1, has_names = input[0] & 2, fill = input[0] & 4;
  const std::string_view names = input.substr(2, static_cast<unsigned char>(input[1]));
  std::string pictures(input.substr(2 + names.size()));
  const std::size_t record = ImageDataset::image + (cifar_100 ? 2 : 1);
  if (fill) pictures.resize((pictures.size() + record - 1) / record * record);
  if (has_names)
    repopt::testing::write_bytes(folder / (cifar_100 ? "fine_label_names.txt" : "batches.meta.txt"), names);
  repopt::testing::write_bytes(folder / (cifar_100 ? "train.bin" : "data_batch_1.bin"), pictures);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const repopt::testing::TemporaryFolder folder;
  if (size < 2) return 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) std::filesystem::remove(entry);
  write_folder(folder.path(), {reinterpret_cast<const char*>(data), size});
  try {
    require_sound(repopt::io::load_cifar_train(folder.path()));
  } catch (const std::runtime_error&) {
  }
  return 0;
}
