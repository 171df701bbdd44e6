// Safetensors: a reader of the safetensors format that checks everything.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/crc32.hpp"
#include "repopt/formats/dtype.hpp"
#include "repopt/formats/file.hpp"
#include "repopt/formats/json.hpp"

namespace repopt::formats {

/// The element type and shape of a tensor, from the file's header.
struct TensorInfo {
  Dtype dtype;                     ///< type of the elements
  std::vector<std::size_t> shape;  ///< outermost dimension first, row-major; {} is a scalar
};

namespace detail {

/// Says in words what kind of file the bytes look like if they are not a safetensors file; empty if unknown.
inline std::string_view other_format(std::string_view bytes) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, std::string_view> beginnings[] = {
      {"PK\x03\x04"sv, "a zip archive, such as a PyTorch checkpoint"},
      {"version https://git-lfs"sv, "a Git LFS pointer, not the file that it stands for"},
      {"\x89HDF"sv, "an HDF5 file"},
      {"\x93NUMPY"sv, "a NumPy array"},
      {"\x1f\x8b"sv, "a gzip archive"},
      {"GGUF"sv, "a GGUF file"},
  };
  for (const auto& [beginning, format] : beginnings)
    if (bytes.starts_with(beginning)) return format;
  if (bytes.size() > 1 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5)
    return "a Python pickle, such as an old PyTorch checkpoint";
  const auto text = bytes.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (text == bytes.npos) return {};
  if (bytes[text] == '<') return "an HTML or XML page, such as a failed download";
  if (bytes[text] == '{') return "JSON text";
  return {};
}

}  // namespace detail

/// A safetensors file in memory. The reader checks that the header lies within the file, that no key occurs twice, that
/// the tensors fill the data without a gap, overlap or remainder, that each tensor's size agrees with its dtype and
/// shape, and that the Checksum, if there is one, is right.
class Safetensors {
 public:
  /// Reads a file. Throws std::runtime_error if it is not valid. The message names the file, the tensor and the fault.
  static Safetensors load(const std::filesystem::path& path) { return parse(read_file(path), path.string()); }

  /// Reads the bytes of a file. Messages call the file `name`. Throws in the same cases as load().
  static Safetensors parse(std::vector<std::byte> bytes, std::string name) {
    return {std::move(bytes), std::move(name)};
  }

  /// The file's name in messages.
  const std::string& name() const { return name_; }

  /// Whether the file had a Checksum, which would have revealed damage.
  bool has_checksum() const { return has_checksum_; }

  /// The header's `__metadata__` without the Checksum.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// The metadata of a key. Throws std::runtime_error if there is no such key.
  const std::string& metadata(const std::string& key) const {
    const auto found = metadata_.find(key);
    require_file(found != metadata_.end(), name_, ": metadata lacks '", key, "'");
    return found->second;
  }

  /// The sorted names of all tensors.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }

  /// Whether there is a tensor of that name.
  bool contains(const std::string& tensor) const { return entries_.contains(tensor); }

  /// The type and shape of a tensor. Throws std::runtime_error if there is no tensor of that name.
  const TensorInfo& info(const std::string& tensor) const { return entry(tensor).info; }

  /// The elements of a tensor, row-major. T must be the file's type, with one exception: F32 is converted to double,
  /// which is exact. Throws std::runtime_error if the type is another or if there is no tensor of that name.
  template <TensorElement T>
  std::vector<T> tensor(const std::string& tensor) const {
    const Dtype dtype = info(tensor).dtype;
    if constexpr (std::same_as<T, double>)
      if (dtype == dtype_of<float>) return convert<double, float>(tensor);
    require_file(dtype == dtype_of<T>, name_, ": tensor '", tensor, "' is ", dtype.name, ", it cannot be read as ",
                 dtype_of<T>.name);
    return copy<T>(tensor);
  }

  /// The elements of an F32 or F64 tensor, rounded to T. Throws std::runtime_error if the type is another or if a
  /// finite element is too large for T.
  template <std::floating_point T>
  std::vector<T> tensor_as(const std::string& tensor) const {
    if constexpr (std::same_as<T, float>)
      if (info(tensor).dtype == dtype_of<double>) return convert<float, double>(tensor);
    return this->tensor<T>(tensor);
  }

  /// Throws std::runtime_error if the tensor is missing or its shape is not `shape`. The message names both shapes.
  void require_shape(const std::string& tensor, std::span<const std::size_t> shape) const {
    require_file(std::ranges::equal(info(tensor).shape, shape), name_, ": tensor '", tensor, "' has shape ",
                 describe(info(tensor).shape), ", it must be ", describe(shape));
  }

 private:
  struct Entry {
    TensorInfo info;
    std::size_t begin = 0, end = 0;  ///< offsets in bytes from the beginning of the data
  };

  Safetensors(std::vector<std::byte> bytes, std::string name) : bytes_(std::move(bytes)), name_(std::move(name)) {
    const std::string_view header = find_header();
    data_ = length_bytes + header.size();
    const bool intact = fits_checksum(header);
    try {
      read_header(header);
    } catch (const std::runtime_error& error) {
      require_file(intact, error.what(), " (the file is damaged: its checksum does not fit)");
      throw;
    }
    require_file(intact, name_, " is damaged, or another program changed it: its checksum does not fit, metadata '",
                 Checksum::key, "'");
  }

  static constexpr std::size_t length_bytes = 8;

  std::string_view find_header() const {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    const auto require_format = [&](bool condition, const auto&... message) {
      if (condition) return;
      const std::string_view other = detail::other_format(all);
      require_file(false, name_, " is not a safetensors file: ", message..., other.empty() ? "" : "; it looks like ",
                   other);
    };
    require_format(all.size() >= length_bytes, "it has ", all.size(), " bytes, the header's length alone takes ",
                   length_bytes);
    std::uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), length_bytes);
    require_format(length <= max_header_length, "its header would have ", length, " bytes, at most ", max_header_length,
                   " are legal");
    require_format(length <= all.size() - length_bytes, "its header would have ", length, " bytes, the file has ",
                   all.size() - length_bytes, " after the length");
    const std::string_view header = all.substr(length_bytes, length);
    require_format(header.starts_with('{'), "its header does not start with {");
    return header;
  }

  /// Returns false if there is a checksum and it is wrong.
  bool fits_checksum(std::string_view header) {
    const std::size_t digits = Checksum::find(header);
    has_checksum_ = digits != header.npos;
    if (!has_checksum_) return true;
    const std::span<const std::byte> all(bytes_);
    Crc32 crc;
    crc.add(all.first(length_bytes + digits));
    crc.add(Checksum::blank);
    crc.add(all.subspan(length_bytes + digits + Checksum::blank.size()));
    return header.substr(digits, Checksum::blank.size()) == crc.text();
  }

  void read_header(std::string_view header) {
    const nlohmann::json json = parse_json(header, name_ + ": header");
    for (const auto& [key, value] : json.items()) {
      if (key == "__metadata__") {
        read_metadata(value);
      } else {
        entries_.emplace(key, read_entry(value, concat(name_, ": tensor '", key, "'")));
      }
    }
    if (has_checksum_) metadata_.erase(std::string(Checksum::key));
    require_contiguous();
  }

  void read_metadata(const nlohmann::json& json) {
    require_file(json.is_object(), name_, ": __metadata__ must be an object, it is ", brief(json));
    for (const auto& [key, value] : json.items())
      metadata_.emplace(key, to_text(value, concat(name_, ": __metadata__ '", key, "'")));
  }

  static Entry read_entry(const nlohmann::json& json, const std::string& where) {
    const std::string dtype_name = to_text(member(json, "dtype", where), where + ": dtype");
    auto shape = to_sizes(member(json, "shape", where), where + ": shape");
    const auto offsets = to_sizes(member(json, "data_offsets", where), where + ": data_offsets");
    require_file(json.size() == 3, where, " has ", json.size(), " members, it must have dtype, shape and data_offsets");
    require_file(offsets.size() == 2, where, ": data_offsets has ", offsets.size(), " elements, it must have 2");
    require_file(offsets[0] <= offsets[1], where, ": data_offsets begin at ", offsets[0], " and end at ", offsets[1]);

    const auto dtype = find_dtype(dtype_name);
    require_file(dtype.has_value(), where, " has the unknown dtype '", dtype_name, "'");
    const auto bytes = byte_count(shape, dtype->size);
    require_file(bytes.has_value(), where, ": shape ", describe(shape), " has too many elements");
    require_file(*bytes == offsets[1] - offsets[0], where, ": ", dtype->name, " of shape ", describe(shape), " takes ",
                 *bytes, " bytes, data_offsets span ", offsets[1] - offsets[0]);
    return {{*dtype, std::move(shape)}, offsets[0], offsets[1]};
  }

  void require_contiguous() const {
    std::vector<std::pair<std::string_view, const Entry*>> ordered;
    for (const auto& [name, entry] : entries_) ordered.emplace_back(name, &entry);
    std::ranges::sort(ordered, {}, [](const auto& item) { return std::pair(item.second->begin, item.second->end); });
    std::size_t end = 0;
    for (const auto& [name, entry] : ordered) {
      require_file(entry->begin == end, name_, ": tensor '", name, "' begins at ", entry->begin,
                   ", the one before it ends at ", end);
      end = entry->end;
    }
    require_file(end == bytes_.size() - data_, name_, ": the tensors take ", end, " bytes, the file has ",
                 bytes_.size() - data_, " for them");
  }

  const Entry& entry(const std::string& tensor) const {
    const auto found = entries_.find(tensor);
    require_file(found != entries_.end(), name_, " has no tensor '", tensor, "'");
    return found->second;
  }

  template <class T>
  std::vector<T> copy(const std::string& tensor) const {
    const Entry& found = entry(tensor);
    std::vector<T> elements((found.end - found.begin) / sizeof(T));
    if (!elements.empty()) std::memcpy(elements.data(), bytes_.data() + data_ + found.begin, found.end - found.begin);
    return elements;
  }

  template <class To, class From>
  std::vector<To> convert(const std::string& tensor) const {
    std::vector<To> elements;
    for (const From value : copy<From>(tensor)) {
      // Compare before the conversion: converting a number that is out of range is undefined behaviour.
      require_file(!std::isfinite(value) || std::abs(double(value)) <= double(std::numeric_limits<To>::max()), name_,
                   ": tensor '", tensor, "' holds ", value, ", too large for ", dtype_of<To>.name);
      elements.push_back(static_cast<To>(value));
    }
    return elements;
  }

  std::vector<std::byte> bytes_;
  std::string name_;
  std::size_t data_ = 0;  ///< offset in bytes where the data begin
  bool has_checksum_ = false;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Entry> entries_;
};

}  // namespace repopt::formats
