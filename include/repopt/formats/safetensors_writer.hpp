// SafetensorsWriter: collects named tensors and writes them as one safetensors file.
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

/// The same tensors and metadata give the same bytes, in whatever order they were added: tensors lie by size of element
/// (descending, hence all aligned), then name. A Checksum among the metadata lets the reader find damage.
class SafetensorsWriter {
 public:
  /// Adds a copy of `elements`, row-major of `shape`. Throws std::invalid_argument if the name is taken, reserved or
  /// not UTF-8, or the shape has another number of elements.
  template <TensorElement T>
  void add(const std::string& name, std::vector<std::size_t> shape, std::span<const T> elements) {
    require_utf8(name);
    require(name != "__metadata__", "'__metadata__' is no name for a tensor");
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

  /// Throws std::invalid_argument if the key is taken or the checksum's, or one of both is not UTF-8.
  void add_metadata(const std::string& key, const std::string& value) {
    require_utf8(key);
    require_utf8(value);
    require(key != Checksum::key, "'", key, "' is no key for metadata: the checksum has it");
    require(metadata_.emplace(key, value).second, "there is already metadata '", key, "'");
  }

  /// Writes the file by way of AtomicFile: on failure an older one stays. Throws std::runtime_error, and
  /// std::invalid_argument if the header would be longer than the format allows.
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

  /// The header, its checksum blank, padded with spaces so that the data begin at a multiple of 8.
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
