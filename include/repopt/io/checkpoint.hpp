// Checkpoint: all that a training run needs to go on as if it had never stopped, in one safetensors file.
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

/// Where a run stands. Schedules are functions of the step, so `step` is the schedule's position too.
struct Progress {
  std::size_t epoch = 0;  ///< completed ones
  std::size_t step = 0;   ///< completed ones, counted over the whole run

  constexpr bool operator==(const Progress&) const = default;
};

/// A run, as views: the tensors lie in the network and the optimizer that are saved, or in memory that the checkpoint
/// keeps (keep(), load()). Movable, not copyable. Files hold PyTorch's names and order (OIHW): other programs find
/// the model's tensors in them as in any safetensors file.
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
  /// What a model's parameter holds, as a view.
  struct Tensor {
    std::vector<std::size_t> shape;  ///< in PyTorch's order
    std::span<const T> elements;     ///< row-major
  };

  std::map<std::string, Tensor> model;         ///< weights, biases and running statistics
  StateDict<T> optimizer;                      ///< of RepOptimizer::state_dict()
  Progress progress;                           ///< where the run stands
  std::vector<std::uint64_t> random_state;     ///< a seed, or whatever words the generator needs
  std::map<std::string, std::string> options;  ///< of the run, in its own words

  Checkpoint() = default;
  Checkpoint(Checkpoint&&) noexcept = default;
  Checkpoint& operator=(Checkpoint&&) noexcept = default;

  /// Keeps elements that lie nowhere else, such as a kernel brought to OIHW, and returns where.
  std::span<const T> keep(std::vector<T> elements) { return memory_.emplace_back(std::move(elements)); }

  /// Writes the file by way of AtomicFile: on failure an older one stays. Throws std::runtime_error then, and
  /// std::invalid_argument if a tensor has another number of elements than its shape, or a name of the model's belongs
  /// to the format.
  void save(const std::filesystem::path& path) const {
    formats::SafetensorsWriter writer;
    for (const auto& [name, tensor] : model) {
      require(belongs_to_model(name), "'", name, "' cannot be the name of a model's tensor: the format reserves it");
      writer.add(name, tensor.shape, tensor.elements);
    }
    formats::add_optimizer(writer, optimizer);
    writer.add(random_state_name, {random_state.size()}, random_state);
    writer.add_metadata("options", nlohmann::json(options).dump());
    writer.add_metadata("progress", nlohmann::json{{"epoch", progress.epoch}, {"step", progress.step}}.dump());
    writer.save(path);
  }

  /// Reads what save() wrote, to the last bit. Throws std::runtime_error, naming the file and the place, if it is no
  /// checkpoint, not whole, damaged in whatever bit, or of another precision than T.
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
