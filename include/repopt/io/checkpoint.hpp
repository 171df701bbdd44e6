// Checkpoint: one safetensors file with everything that a training run needs to resume as if it had never stopped.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/file.hpp"
#include "repopt/formats/json.hpp"
#include "repopt/formats/optimizer_file.hpp"
#include "repopt/formats/safetensors.hpp"
#include "repopt/optim/state_dict.hpp"

namespace repopt::io {

/// The progress of a run. Schedules are functions of the step, so `step` is also the position of the schedule.
struct Progress {
  std::size_t epoch = 0;  ///< number of completed epochs
  std::size_t step = 0;   ///< number of completed steps over the whole run

  constexpr bool operator==(const Progress&) const = default;
};

/// The state of a run, as views. The tensors lie in the network and the optimizer that are saved, or in memory that the
/// checkpoint owns (see keep() and load()). A checkpoint can be moved but not copied. Files have PyTorch's names and
/// PyTorch's order (OIHW), so other programs can read the model's tensors as from any safetensors file.
///
///     Checkpoint<float> checkpoint;
///     checkpoint.model["fc.bias"] = {{10}, bias};
///     checkpoint.optimizer = optimizer.state_dict();
///     checkpoint.save("checkpoint.safetensors");
///     ...
///     const auto saved = Checkpoint<float>::load("checkpoint.safetensors");
///     optimizer.load_state_dict(saved.optimizer);
template <std::floating_point T>
class Checkpoint {
 public:
  /// A tensor of the model, as a view.
  struct Tensor {
    std::vector<std::size_t> shape;  ///< in PyTorch's order
    std::span<const T> elements;     ///< row-major
  };

  std::map<std::string, Tensor> model;         ///< weights, biases and running statistics
  StateDict<T> optimizer;                      ///< the result of RepOptimizer::state_dict()
  Progress progress;                           ///< epochs and steps so far
  std::vector<std::uint64_t> random_state;     ///< a seed, or the words of the generator's state
  std::map<std::string, std::string> options;  ///< the run's options as text, by name

  Checkpoint() = default;
  Checkpoint(Checkpoint&&) noexcept = default;
  Checkpoint& operator=(Checkpoint&&) noexcept = default;

  /// Takes ownership of elements that no other object holds, such as a kernel converted to OIHW. Returns a view of
  /// them.
  std::span<const T> keep(std::vector<T> elements) { return memory_.emplace_back(std::move(elements)); }

  /// Writes the file with AtomicFile: if it fails, an older file is unchanged. Throws std::runtime_error if the file
  /// cannot be written. Throws std::invalid_argument if a tensor's shape has another number of elements, if the format
  /// reserves the name of a model's tensor, or if a text is not UTF-8.
  void save(const std::filesystem::path& path) const {
    formats::SafetensorsWriter writer;
    for (const auto& [name, tensor] : model) {
      require(belongs_to_model(name), "'", name, "' cannot be the name of a model's tensor: the format reserves it");
      writer.add(name, tensor.shape, tensor.elements);
    }
    formats::add_optimizer(writer, optimizer);
    writer.add(random_state_name, {random_state.size()}, random_state);
    writer.add_metadata("options", formats::dump(options));
    writer.add_metadata("progress", formats::dump({{"epoch", progress.epoch}, {"step", progress.step}}));
    writer.save(path);
  }

  /// Reads a file that save() wrote, exact to the last bit. Throws std::runtime_error if the file is not a checkpoint,
  /// is incomplete, has a damaged bit, or has another precision than T. The message names the file and the place.
  static Checkpoint load(const std::filesystem::path& path) {
    const auto file = formats::Safetensors::load(path);
    for (const char* key : {"optimizer", "options", "progress"})
      formats::require_file(file.metadata().contains(key), path.string(), " is not a checkpoint: its metadata lack '",
                            key, "'");
    formats::require_file(file.has_checksum(), path.string(),
                          " is damaged or was written by another program: its metadata lack '", formats::Checksum::key,
                          "', which every checkpoint has");
    Checkpoint checkpoint;
    checkpoint.read_metadata(file);
    checkpoint.saved_optimizer_.emplace(file);
    checkpoint.optimizer = checkpoint.saved_optimizer_->state_dict();
    const auto& random_shape = file.info(random_state_name).shape;
    formats::require_file(random_shape.size() == 1, path.string(), ": random_state has shape ",
                          formats::describe(random_shape), ", it must have one dimension");
    checkpoint.random_state = file.tensor<std::uint64_t>(random_state_name);
    for (const std::string& name : file.names())
      if (belongs_to_model(name)) {
        const auto& shape = file.info(name).shape;
        checkpoint.model[name] = {shape, checkpoint.keep(formats::exact_tensor<T>(file, name, shape))};
      }
    return checkpoint;
  }

 private:
  static constexpr const char* random_state_name = "random_state";

  static bool belongs_to_model(std::string_view name) {
    return name != random_state_name && !name.starts_with(formats::optimizer_prefix);
  }

  void read_metadata(const formats::Safetensors& file) {
    std::string where = file.name() + ": metadata 'progress'";
    const nlohmann::json position = formats::parse_json(file.metadata("progress"), where);
    progress = {formats::to_size(formats::member(position, "epoch", where), where + ": epoch"),
                formats::to_size(formats::member(position, "step", where), where + ": step")};
    where = file.name() + ": metadata 'options'";
    const nlohmann::json saved_options = formats::parse_json(file.metadata("options"), where);
    formats::require_file(saved_options.is_object(), where, " must be an object, it is ",
                          formats::brief(saved_options));
    for (const auto& [name, value] : saved_options.items())
      options[name] = formats::to_text(value, concat(where, ": ", name));
  }

  std::vector<std::vector<T>> memory_;
  std::optional<formats::SavedOptimizer<T>> saved_optimizer_;
};

}  // namespace repopt::io
