// The parameters and statistics of a network in a safetensors file, under PyTorch's names and in PyTorch's order
// (OIHW).
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/formats/file.hpp"
#include "repopt/formats/safetensors.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::io {

/// The numbers of a parameter, constant or running statistic.
template <class T>
struct ModelTensor {
  std::vector<std::size_t> shape;  ///< in PyTorch's order
  std::vector<T> elements;         ///< row-major
};

/// Returns every parameter, constant scale and running statistic of `model`, by name. A model is an nn::Vgg or an
/// nn::FoldedTraining. A FoldedTraining of the prior repvgg has the names of a network of CSLA blocks, so that the
/// file of one can be read into the other.
template <template <class> class Model, class T>
std::map<std::string, ModelTensor<T>> model_tensors(Model<T>& model) {
  std::map<std::string, ModelTensor<T>> tensors;
  model.visit_parameters([&](const std::string& name, auto&& parameter) {
    std::vector<T> elements(parameter.value.begin(), parameter.value.end());
    if (parameter.conv)
      copy_weight<T>(*parameter.conv, parameter.value, parameter.conv->in_layout(WeightLayout::oihw),
                     std::span<T>(elements));
    tensors[name] = {parameter.dims, std::move(elements)};
  });
  return tensors;
}

/// Fills `model` with the result of model_tensors(). PyTorch's num_batches_tracked is ignored. Throws
/// std::runtime_error, and leaves the model unchanged, if a tensor is missing, has another shape, or does not belong to
/// the model. The message begins with `source` and names the tensor.
template <template <class> class Model, class T>
void assign_model(Model<T>& model, const std::map<std::string, ModelTensor<T>>& tensors, const std::string& source) {
  const std::string what = concat("the model '", model.config().name, "'");
  std::map<std::string, nn::ParameterView<T>> parameters;
  model.visit_parameters([&](const std::string& name, auto&& parameter) {
    const auto found = tensors.find(name);
    formats::require_file(found != tensors.end(), source, " lacks '", name, "' of ", what);
    formats::require_file(found->second.shape == parameter.dims, source, ": '", name, "' has shape ",
                          formats::describe(found->second.shape), ", in ", what, " it has ",
                          formats::describe(parameter.dims));
    formats::require_file(found->second.elements.size() == parameter.value.size(), source, ": '", name, "' has ",
                          found->second.elements.size(), " elements, its shape has ", parameter.value.size());
    parameters.emplace(name, nn::view_of(parameter));
  });
  for (const auto& [name, tensor] : tensors)
    formats::require_file(parameters.contains(name) || name.ends_with(".num_batches_tracked"), source, " holds '", name,
                          "', which ", what, " does not have");
  for (const auto& [name, parameter] : parameters) {
    const std::vector<T>& elements = tensors.at(name).elements;
    if (parameter.conv)
      copy_weight<T>(parameter.conv->in_layout(WeightLayout::oihw), elements, *parameter.conv, parameter.value);
    else
      std::ranges::copy(elements, parameter.value.begin());
  }
}

/// Adds the tensors of a network to a file.
template <template <class> class Model, class T>
void add_model(formats::SafetensorsWriter& writer, Model<T>& model) {
  for (const auto& [name, tensor] : model_tensors(model)) writer.add(name, tensor.shape, tensor.elements);
}

/// Fills `model` from the tensors of a file; F64 is rounded if T is float. Throws in the same cases as assign_model(),
/// and if a tensor is not floating point.
template <template <class> class Model, class T>
void read_model(const formats::Safetensors& file, Model<T>& model) {
  std::map<std::string, ModelTensor<T>> tensors;
  for (const std::string& name : file.names()) {
    if (name.ends_with(".num_batches_tracked")) continue;
    tensors[name] = {file.info(name).shape, file.tensor_as<T>(name)};
  }
  assign_model(model, tensors, file.name());
}

}  // namespace repopt::io
