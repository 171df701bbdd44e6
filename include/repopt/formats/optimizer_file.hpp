// The complete state of a RepOptimizer in a safetensors file: options, blocks with their scales, and buffers in OIHW.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/formats/dtype.hpp"
#include "repopt/formats/file.hpp"
#include "repopt/formats/json.hpp"
#include "repopt/formats/safetensors.hpp"
#include "repopt/optim/state_dict.hpp"

namespace repopt::formats {

/// The beginning of the names of all optimizer tensors: "optimizer.<parameter>.<buffer>" and
/// "optimizer.<parameter>.scale.<branch>".
inline constexpr std::string_view optimizer_prefix = "optimizer.";

namespace detail {

/// All members of a shape except its layout, which is OIHW in a file.
inline nlohmann::json shape_to_json(const ConvShape& shape) {
  return {{"in_channels", shape.in_channels},
          {"out_channels", shape.out_channels},
          {"kernel_size", shape.kernel_size},
          {"padding", shape.padding},
          {"stride", shape.stride},
          {"dilation", shape.dilation},
          {"groups", shape.groups}};
}

inline ConvShape shape_from_json(const nlohmann::json& json, const std::string& where) {
  const auto number = [&](const char* key) { return to_size(member(json, key, where), concat(where, ": ", key)); };
  const auto pair = [&](const char* key) {
    const auto sizes = to_sizes(member(json, key, where), concat(where, ": ", key));
    require_file(sizes.size() == 2, where, ": ", key, " has ", sizes.size(), " elements, it must have 2");
    return std::array{sizes[0], sizes[1]};
  };
  const ConvShape shape{.in_channels = number("in_channels"),
                        .out_channels = number("out_channels"),
                        .kernel_size = pair("kernel_size"),
                        .padding = pair("padding"),
                        .stride = pair("stride"),
                        .dilation = pair("dilation"),
                        .groups = number("groups")};
  try {
    shape.validate();
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(concat(where, ": ", error.what()));
  }
  return shape;
}

inline std::string optimizer_tensor(const std::string& param, std::string_view buffer) {
  return concat(optimizer_prefix, param, ".", buffer);
}

inline std::string scale_tensor(const std::string& param, std::size_t branch) {
  return optimizer_tensor(param, concat("scale.", branch));
}

/// Adds a buffer to a file: a kernel's buffer in OIHW, any other buffer as a tensor of one dimension.
template <std::floating_point T>
void add_buffer(SafetensorsWriter& writer, const ParamState<T>& param, const std::string& name,
                std::span<const T> buffer) {
  const std::string tensor = optimizer_tensor(param.name, name);
  if (!param.shape) {
    writer.add(tensor, {param.size}, buffer);
    return;
  }
  const ConvShape oihw = param.shape->in_layout(WeightLayout::oihw);
  std::vector<T> weights(oihw.size());
  copy_weight<T>(*param.shape, buffer, oihw, weights);
  writer.add(tensor, oihw.dims(), weights);
}

}  // namespace detail

/// Returns the elements of a tensor. Its shape must be `shape` and its type exactly T, because a run that resumes in
/// another precision would not be the same run. Throws std::runtime_error otherwise; the message names the tensor and
/// both types or shapes.
template <TensorElement T>
std::vector<T> exact_tensor(const Safetensors& file, const std::string& name, std::span<const std::size_t> shape) {
  file.require_shape(name, shape);
  require_file(file.info(name).dtype == dtype_of<T>, file.name(), ": tensor '", name, "' is ",
               file.info(name).dtype.name, ", the run's precision is ", dtype_of<T>.name);
  return file.tensor<T>(name);
}

/// Adds the state of RepOptimizer::state_dict() to a file: buffers and scales as tensors, everything else as JSON in
/// the metadata `optimizer`. Throws std::invalid_argument if a name is taken or is not UTF-8, an option is not finite,
/// or a buffer has another size than its weight.
template <std::floating_point T>
void add_optimizer(SafetensorsWriter& writer, const StateDict<T>& state) {
  for (const auto& group : state.param_groups)
    for (const auto& [name, value] : group)
      require(std::isfinite(value), "option '", name, "' is ", value, ", it must be finite");
  auto params = nlohmann::json::array();
  for (const ParamState<T>& param : state.params) {
    nlohmann::json json{{"name", param.name}, {"group", param.group}, {"counters", param.counters}};
    if (param.shape)
      json["shape"] = detail::shape_to_json(*param.shape);
    else
      json["size"] = param.size;
    json["buffers"] = nlohmann::json::array();
    for (const auto& [name, buffer] : param.buffers) {
      detail::add_buffer(writer, param, name, buffer);
      json["buffers"].push_back(name);
    }
    json["branches"] = nlohmann::json::array();
    for (std::size_t i = 0; i < param.branches.size(); ++i) {
      const Branch<T>& branch = param.branches[i];
      writer.add(detail::scale_tensor(param.name, i), {branch.scale.size()}, branch.scale);
      json["branches"].push_back(detail::shape_to_json(branch.shape));
    }
    params.push_back(std::move(json));
  }
  const nlohmann::json json{{"rule", state.rule}, {"param_groups", state.param_groups}, {"params", std::move(params)}};
  writer.add_metadata("optimizer", dump(json));
}

/// An optimizer's state that was read from a file. It owns the memory of the spans in the state. It can be moved but
/// not copied.
template <std::floating_point T>
class SavedOptimizer {
 public:
  /// Reads the state that add_optimizer() wrote. Throws std::runtime_error if a part is missing, superfluous, of
  /// another precision or of another size. The message names the file and the place.
  explicit SavedOptimizer(const Safetensors& file) : where_(file.name() + ": metadata 'optimizer'") {
    const nlohmann::json json = parse_json(file.metadata("optimizer"), where_);
    state_.rule = to_text(member(json, "rule", where_), where_ + ": rule");
    for (const auto& group : array(json, "param_groups", where_)) read_param_group(group);
    for (const auto& param : array(json, "params", where_)) read_param(file, param);
    for (const std::string& name : file.names())
      require_file(!name.starts_with(optimizer_prefix) || claimed_.contains(name), file.name(), ": tensor '", name,
                   "' belongs to no parameter of the optimizer");
  }

  SavedOptimizer(SavedOptimizer&&) noexcept = default;
  SavedOptimizer& operator=(SavedOptimizer&&) noexcept = default;

  /// The state, for RepOptimizer::load_state_dict().
  const StateDict<T>& state_dict() const { return state_; }

 private:
  static const nlohmann::json& array(const nlohmann::json& object, const char* key, const std::string& where) {
    const nlohmann::json& value = member(object, key, where);
    require_file(value.is_array(), where, ": ", key, " must be an array, it is ", brief(value));
    return value;
  }

  static const nlohmann::json& object(const nlohmann::json& value, const std::string& where) {
    require_file(value.is_object(), where, " must be an object, it is ", brief(value));
    return value;
  }

  void read_param_group(const nlohmann::json& json) {
    const std::string where = concat(where_, ": param_group ", state_.param_groups.size());
    auto& group = state_.param_groups.emplace_back();
    for (const auto& [name, value] : object(json, where).items()) {
      require_file(value.is_number(), where, ": ", name, " must be a number, it is ", brief(value));
      group[name] = value.template get<double>();
    }
  }

  void read_param(const Safetensors& file, const nlohmann::json& json) {
    ParamState<T> param;
    param.name = to_text(member(json, "name", where_), where_ + ": name");
    const std::string where = concat(where_, ": '", param.name, "'");
    param.group = to_size(member(json, "group", where), where + ": group");
    std::vector<std::size_t> dims;
    if (json.contains("shape")) {
      param.shape = detail::shape_from_json(json["shape"], where + ": shape");
      param.size = param.shape->size();
      dims = param.shape->dims();
    } else {
      param.size = to_size(member(json, "size", where), where + ": size");
      dims = {param.size};
    }
    for (const auto& branch : array(json, "branches", where)) {
      const std::size_t index = param.branches.size();
      const ConvShape shape = detail::shape_from_json(branch, concat(where, ": branch ", index));
      const std::size_t channels = shape.out_channels;
      param.branches.emplace_back(shape, claim(file, detail::scale_tensor(param.name, index), {channels}));
    }
    for (const auto& name : array(json, "buffers", where)) {
      const std::string buffer = to_text(name, where + ": buffer");
      memory_.push_back(claim(file, detail::optimizer_tensor(param.name, buffer), dims));
      param.buffers[buffer] = memory_.back();
    }
    for (const auto& [name, value] : object(member(json, "counters", where), where + ": counters").items())
      param.counters[name] = to_size(value, concat(where, ": ", name));
    state_.params.push_back(std::move(param));
  }

  std::vector<T> claim(const Safetensors& file, const std::string& tensor, const std::vector<std::size_t>& shape) {
    claimed_.insert(tensor);
    return exact_tensor<T>(file, tensor, shape);
  }

  std::string where_;
  StateDict<T> state_;
  std::vector<std::vector<T>> memory_;
  std::set<std::string> claimed_;
};

}  // namespace repopt::formats
