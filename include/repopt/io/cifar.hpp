// Readers of CIFAR-10 and CIFAR-100 in their binary versions (https://www.cs.toronto.edu/~kriz/cifar.html).
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/file.hpp"

namespace repopt::io {

/// Labelled pictures of (3, 32, 32) bytes, in memory.
struct ImageDataset {
  /// The dimensions of every picture. `plane` is the number of bytes of a channel, `image` of all three.
  /// @{
  static constexpr std::size_t channels = 3, height = 32, width = 32, plane = height * width, image = channels * plane;
  /// @}

  std::vector<std::uint8_t> pixels;      ///< (size, 3, 32, 32): planes R, G, B, row-major, 0..255
  std::vector<std::uint8_t> labels;      ///< (size), each less than `classes`
  std::size_t classes = 0;               ///< 10 or 100
  std::vector<std::string> class_names;  ///< (classes)
  std::string name;                      ///< "CIFAR-10" or "CIFAR-100"

  /// The number of pictures.
  std::size_t size() const { return labels.size(); }

  /// The (3, 32, 32) bytes of one picture.
  std::span<const std::uint8_t> picture(std::size_t index) const {
    return std::span(pixels).subspan(index * image, image);
  }
};

/// Statistics of the channels R, G and B. Pixels are scaled to 0..1.
struct ChannelStatistics {
  std::array<double, ImageDataset::channels> mean{};  ///< mean of all pixels
  std::array<double, ImageDataset::channels> std{};   ///< standard deviation, from the biased variance
};

/// Returns the statistics over all pixels. Throws std::invalid_argument if there are no pictures.
inline ChannelStatistics channel_statistics(const ImageDataset& data) {
  require(data.size() > 0, "channel_statistics of ", data.name, ": there are no pictures");
  ChannelStatistics statistics;
  for (std::size_t channel = 0; channel < ImageDataset::channels; ++channel) {
    std::array<std::size_t, 256> count{};
    for (std::size_t index = 0; index < data.size(); ++index)
      for (const std::uint8_t value : data.picture(index).subspan(channel * ImageDataset::plane, ImageDataset::plane))
        ++count[value];
    const auto pixels = double(data.size() * ImageDataset::plane);
    double mean = 0, variance = 0;
    for (std::size_t value = 0; value < count.size(); ++value) mean += double(count[value] * value) / pixels;
    for (std::size_t value = 0; value < count.size(); ++value)
      variance += double(count[value]) * (double(value) - mean) * (double(value) - mean) / pixels;
    statistics.mean[channel] = mean / 255;
    statistics.std[channel] = std::sqrt(variance) / 255;
  }
  return statistics;
}

namespace detail {

/// The files of one of the two data sets.
struct CifarFormat {
  std::string_view name, folder, class_names_file;
  std::size_t classes, label_bytes;        ///< only the last label byte counts: it is CIFAR-100's fine label
  std::string_view train_file, test_file;  ///< '*' in the train file's name stands for a number
};

inline constexpr std::array<CifarFormat, 2> cifar_formats{{
    {"CIFAR-10", "cifar-10-batches-bin", "batches.meta.txt", 10, 1, "data_batch_*.bin", "test_batch.bin"},
    {"CIFAR-100", "cifar-100-binary", "fine_label_names.txt", 100, 2, "train.bin", "test.bin"},
}};

/// Returns the number in `file` in place of the pattern's '*'. Returns 0 if a pattern without '*' equals `file`, and
/// nothing if they do not match.
inline std::optional<unsigned> match_number(std::string_view pattern, std::string_view file) {
  const auto star = pattern.find('*');
  if (star == pattern.npos) return pattern == file ? std::optional(0u) : std::nullopt;
  const auto before = pattern.substr(0, star), after = pattern.substr(star + 1);
  if (file.size() <= before.size() + after.size() || !file.starts_with(before) || !file.ends_with(after)) return {};
  const auto digits = file.substr(before.size(), file.size() - before.size() - after.size());
  unsigned number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(number) : std::nullopt;
}

/// Returns the files in `folder` that match `pattern`, in the order of their numbers.
inline std::vector<std::filesystem::path> matching_files(const std::filesystem::path& folder,
                                                         std::string_view pattern) {
  std::vector<std::pair<unsigned, std::filesystem::path>> found;
  std::error_code error;
  for (auto entry = std::filesystem::directory_iterator(folder, error); !error && entry != end(entry);
       entry.increment(error))
    if (const auto number = match_number(pattern, entry->path().filename().string()))
      found.emplace_back(*number, entry->path());
  formats::require_file(!error, "cannot list ", folder.string(), ": ", error.message());
  std::ranges::sort(found);
  std::vector<std::filesystem::path> files;
  for (auto& [number, path] : found) files.push_back(std::move(path));
  return files;
}

struct CifarFolder {
  std::filesystem::path path;
  const CifarFormat* format;
};

/// Finds the one data set in `directory` or in the folder below it that the original archive creates.
inline CifarFolder find_cifar(const std::filesystem::path& directory) {
  std::error_code error;
  formats::require_file(std::filesystem::exists(directory, error), "CIFAR folder ", directory.string(),
                        " does not exist");
  formats::require_file(std::filesystem::is_directory(directory, error), directory.string(), " is not a folder");
  std::vector<CifarFolder> found;
  std::string wanted;
  for (const CifarFormat& format : cifar_formats) {
    for (const auto& folder : {directory, directory / format.folder})
      if (std::filesystem::is_directory(folder, error) &&
          (!matching_files(folder, format.train_file).empty() || !matching_files(folder, format.test_file).empty()))
        found.push_back({folder, &format});
    wanted += concat(wanted.empty() ? "" : "; ", format.train_file, " or ", format.test_file, " (", format.name,
                     "), there or in ", format.folder);
  }
  formats::require_file(!found.empty(), "no CIFAR files in ", directory.string(), ": looked for ", wanted);
  if (found.size() > 1)
    formats::require_file(false, directory.string(), " holds both ", found[0].format->name, " in ",
                          found[0].path.string(), " and ", found[1].format->name, " in ", found[1].path.string(),
                          ": name the folder of one of them");
  return found.front();
}

/// Returns the class names in the folder's list, or the labels' numbers if there is no list.
inline std::vector<std::string> read_class_names(const CifarFolder& folder) {
  const auto path = folder.path / folder.format->class_names_file;
  std::vector<std::string> names;
  if (std::error_code error; !std::filesystem::exists(path, error)) {
    for (std::size_t label = 0; label < folder.format->classes; ++label) names.push_back(std::to_string(label));
    return names;
  }
  const auto bytes = formats::read_file(path);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) names.emplace_back(line);
  }
  formats::require_file(names.size() == folder.format->classes, path.string(), " has ", names.size(), " names, ",
                        folder.format->name, " has ", folder.format->classes, " classes");
  return names;
}

/// Appends the records of one file to `data`.
inline void read_records(const std::filesystem::path& path, const CifarFormat& format, ImageDataset& data) {
  const auto bytes = formats::read_file(path);
  const std::size_t record = format.label_bytes + ImageDataset::image;
  formats::require_file(!bytes.empty(), path.string(), " is empty");
  formats::require_file(bytes.size() % record == 0, path.string(), " has ", bytes.size(), " bytes, a record of ",
                        format.name, " has ", record, ": the last record is incomplete, ", bytes.size() % record,
                        " bytes remain");
  data.labels.reserve(data.labels.size() + bytes.size() / record);
  data.pixels.reserve(data.pixels.size() + bytes.size() / record * ImageDataset::image);
  for (std::size_t begin = 0; begin < bytes.size(); begin += record) {
    const auto label = std::to_integer<std::uint8_t>(bytes[begin + format.label_bytes - 1]);
    formats::require_file(label < format.classes, path.string(), ": record ", begin / record, " has label ", label,
                          ", ", format.name, " has ", format.classes, " classes");
    data.labels.push_back(label);
    const auto pixels = std::span(bytes).subspan(begin + format.label_bytes, ImageDataset::image);
    for (const std::byte value : pixels) data.pixels.push_back(std::to_integer<std::uint8_t>(value));
  }
}

/// Returns the files of these names, in the order of the names, or all files if there are no names.
inline std::vector<std::filesystem::path> named_files(std::vector<std::filesystem::path> files,
                                                      std::span<const std::string> names, const CifarFolder& folder) {
  if (names.empty()) return files;
  std::vector<std::filesystem::path> chosen;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(files, name, [](const auto& file) { return file.filename().string(); });
    formats::require_file(found != files.end(), folder.path.string(), " has no picture file '", name, "'");
    chosen.push_back(*found);
  }
  return chosen;
}

inline ImageDataset load_cifar(const std::filesystem::path& directory, std::string_view CifarFormat::*pattern,
                               std::span<const std::string> names = {}) {
  const CifarFolder folder = find_cifar(directory);
  const CifarFormat& format = *folder.format;
  auto files = matching_files(folder.path, format.*pattern);
  formats::require_file(!files.empty(), folder.path.string(), " holds ", format.name, ", but no ", format.*pattern);
  files = named_files(std::move(files), names, folder);
  ImageDataset data{{}, {}, format.classes, read_class_names(folder), std::string(format.name)};
  for (const auto& file : files) read_records(file, format, data);
  return data;
}

}  // namespace detail

/// Loads the training pictures in `directory`. They are in data_batch_<number>.bin (CIFAR-10; all existing files, by
/// number) or train.bin (CIFAR-100, fine labels). If `names` is not empty, only these files are read, e.g.
/// "data_batch_1.bin". `directory` may also be the folder that contains cifar-10-batches-bin or cifar-100-binary.
/// Throws std::runtime_error if there are no such files, a file of `names` is missing, a record is incomplete or a
/// label is impossible. The message names the file.
inline ImageDataset load_cifar_train(const std::filesystem::path& directory, std::span<const std::string> names = {}) {
  return detail::load_cifar(directory, &detail::CifarFormat::train_file, names);
}

/// Loads the test pictures, from test_batch.bin or test.bin. `directory` and exceptions are the same as for
/// load_cifar_train().
inline ImageDataset load_cifar_test(const std::filesystem::path& directory) {
  return detail::load_cifar(directory, &detail::CifarFormat::test_file);
}

}  // namespace repopt::io
