// SafetensorsWriter: collects named tensors and writes them to one safetensors file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/formats/crc32.hpp"
#include "repopt/formats/dtype.hpp"
#include "repopt/formats/json.hpp"

namespace repopt::formats {

/// A writer of safetensors files. The same tensors and metadata give the same bytes in any order of adding: tensors lie
/// by descending element size, which aligns them all, and then by name. The metadata contain a Checksum, by which the
/// reader detects damage.
class SafetensorsWriter {
 public:
  /// Adds a copy of `elements`, which are row-major in `shape`. Throws std::invalid_argument if the name is taken,
  /// reserved or not UTF-8, or if `shape` has another number of elements.
  template <TensorElement T>
  void add(const std::string& name, std::vector<std::size_t> shape, std::span<const T> elements) {
    require_utf8(name);
    require(name != "__metadata__", "a tensor cannot have the reserved name '__metadata__'");
    require(byte_count(shape) == elements.size(), "tensor '", name, "' has ", elements.size(), " elements, its shape ",
            describe(shape), " has another number");
    const auto bytes = std::as_bytes(elements);
    const bool added =
        tensors_.try_emplace(name, Tensor{dtype_of<T>, std::move(shape), {bytes.begin(), bytes.end()}}).second;
    require(added, "there is already a tensor '", name, "'");
  }

  /// The same for a vector.
  template <TensorElement T>
  void add(const std::string& name, std::vector<std::size_t> shape, const std::vector<T>& elements) {
    add<T>(name, std::move(shape), std::span(elements));
  }

  /// Adds metadata. Throws std::invalid_argument if the key is taken or belongs to the checksum, or if key or value is
  /// not UTF-8.
  void add_metadata(const std::string& key, const std::string& value) {
    require_utf8(key);
    require_utf8(value);
    require(key != Checksum::key, "'", key, "' cannot be a key of metadata: the checksum uses it");
    require(metadata_.emplace(key, value).second, "there is already metadata '", key, "'");
  }

  /// Writes the file with AtomicFile: if it fails, an older file is unchanged. Throws std::runtime_error if the file
  /// cannot be written, and std::invalid_argument if the header would be longer than the format allows.
  void save(const std::filesystem::path& path) const {
    const auto tensors = in_file_order();
    std::string head = header(tensors);
    const std::uint64_t length = head.size();
    const auto length_bytes = std::as_bytes(std::span(&length, 1));
    Crc32 crc;
    crc.add(length_bytes);
    crc.add(head);
    for (const auto* tensor : tensors) crc.add(tensor->second.bytes);
    head.replace(Checksum::find(head), Checksum::blank.size(), crc.text());
    AtomicFile file(path);
    file.write(length_bytes);
    file.write(head);
    for (const auto* tensor : tensors) file.write(tensor->second.bytes);
    file.commit();
  }

 private:
  struct Tensor {
    Dtype dtype;
    std::vector<std::size_t> shape;
    std::vector<std::byte> bytes;
  };
  using NamedTensors = std::map<std::string, Tensor>;

  std::vector<const NamedTensors::value_type*> in_file_order() const {
    std::vector<const NamedTensors::value_type*> tensors;
    for (const auto& tensor : tensors_) tensors.push_back(&tensor);
    std::ranges::stable_sort(tensors, std::ranges::greater(), [](const auto* item) { return item->second.dtype.size; });
    return tensors;
  }

  /// The header with a blank checksum. It is padded with spaces so that the data begin at a multiple of 8.
  std::string header(const std::vector<const NamedTensors::value_type*>& tensors) const {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    json["__metadata__"] = metadata_;
    json["__metadata__"][std::string(Checksum::key)] = Checksum::blank;
    std::size_t offset = 0;
    for (const auto* item : tensors) {
      const auto& [name, tensor] = *item;
      const std::size_t end = offset + tensor.bytes.size();
      json[name] = {{"dtype", tensor.dtype.name}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
      offset = end;
    }
    std::string text = json.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    require(text.size() <= max_header_length, "the header would have ", text.size(), " bytes, at most ",
            max_header_length, " are legal");
    return text;
  }

  NamedTensors tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace repopt::formats
