// A network's numbers in a safetensors file, under PyTorch's names and in PyTorch's order (OIHW).
#pragma once

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/io/file.hpp"
#include "repopt/io/safetensors.hpp"
#include "repopt/nn/repopt_vgg.hpp"
#include "repopt/nn/tensor.hpp"

namespace repopt::io {

namespace detail {

/// The same kernel in PyTorch's layout.
inline ConvShape in_oihw(ConvShape shape) {
  shape.layout = WeightLayout::oihw;
  return shape;
}

}  // namespace detail

/// Adds every parameter, constant scale and running statistic of `model` as prefix + its name.
template <class T>
void add_model(SafetensorsWriter& writer, nn::RepOptVgg<T>& model, const std::string& prefix = "") {
  model.visit_parameters([&](const std::string& name, nn::Parameter<T>& parameter) {
    std::vector<T> values = parameter.value;
    if (parameter.conv)
      copy_weight<T>(*parameter.conv, parameter.value, detail::in_oihw(*parameter.conv), std::span<T>(values));
    writer.add(prefix + name, parameter.dims, values);
  });
}

/// Fills `model` from the tensors that add_model() wrote; F64 is rounded if T is float. PyTorch's num_batches_tracked
/// is passed over. Throws std::runtime_error, which names the tensors that are missing, of another shape or left over,
/// and leaves the model as it was.
template <class T>
void read_model(const Safetensors& file, nn::RepOptVgg<T>& model, const std::string& prefix = "") {
  std::map<std::string, std::vector<T>> values;
  model.visit_parameters([&](const std::string& name, nn::Parameter<T>& parameter) {
    require_file(file.contains(prefix + name), file.name(), " lacks '", prefix + name, "' of the ",
                 nn::to_string(model.mode()), " model '", model.config().name, "'");
    file.require_shape(prefix + name, parameter.dims);
    values[name] = file.tensor_as<T>(prefix + name);
  });
  for (const std::string& name : file.names())
    require_file(!name.starts_with(prefix) || values.contains(name.substr(prefix.size())) ||
                     name.ends_with(".num_batches_tracked"),
                 file.name(), " holds '", name, "', which the ", nn::to_string(model.mode()), " model '",
                 model.config().name, "' has not");
  model.visit_parameters([&](const std::string& name, nn::Parameter<T>& parameter) {
    const std::vector<T>& value = values.at(name);
    if (parameter.conv)
      copy_weight<T>(detail::in_oihw(*parameter.conv), value, *parameter.conv, std::span<T>(parameter.value));
    else
      parameter.value = value;
  });
}

}  // namespace repopt::io
