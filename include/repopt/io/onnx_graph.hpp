// OnnxGraph: builds an ONNX model (https://onnx.ai/onnx/repo-docs/IR.html), operator set 13.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/dtype.hpp"
#include "repopt/formats/json.hpp"
#include "repopt/formats/protobuf.hpp"

namespace repopt::io {

/// The C++ types of an initializer's elements.
template <class T>
concept OnnxElement = std::same_as<T, float> || std::same_as<T, std::int8_t> || std::same_as<T, std::uint8_t> ||
    std::same_as<T, std::int32_t>;

/// The number of the element type in TensorProto.DataType.
template <OnnxElement T>
inline constexpr int onnx_type = std::same_as<T, float>          ? 1
                                 : std::same_as<T, std::uint8_t> ? 2
                                 : std::same_as<T, std::int8_t>  ? 3
                                                                 : 6;

/// An operator's attribute: a number or a list.
struct OnnxAttribute {
  std::string_view name;                                        ///< the name in the operator's specification
  std::variant<std::int64_t, std::vector<std::int64_t>> value;  ///< INT or INTS
};

/// A graph of operators and constants, which are added from input to output. Every value has its own name. A call that
/// throws std::invalid_argument leaves the graph unchanged. Names that are not UTF-8 are refused.
class OnnxGraph {
 public:
  /// Adds an operator with one output and returns the output's name, which is also the operator's name. An empty input
  /// name leaves out an optional input. Throws std::invalid_argument if an input does not exist yet or the output
  /// exists already.
  const std::string& node(std::string_view op_type, std::initializer_list<std::string> inputs,
                          const std::string& output, std::initializer_list<OnnxAttribute> attributes = {}) {
    for (const std::string& input : inputs)
      require(input.empty() || values_.contains(input), op_type, " '", output, "' reads '", input,
              "', which does not exist yet");
    formats::require_utf8(std::string(op_type));
    formats::ProtobufMessage node;
    for (const std::string& input : inputs) node.add(1, input);
    node.add(2, output);
    node.add(3, output);
    node.add(4, op_type);
    for (const OnnxAttribute& attribute : attributes) node.add(5, message(attribute));
    return define(output, nodes_, 1, node);
  }

  /// Adds a constant with row-major elements and returns its name. Throws std::invalid_argument if the name is taken,
  /// `dims` has another number of elements, an element is not finite, or there are 2 GiB of elements or more.
  template <OnnxElement T>
  const std::string& initializer(const std::string& name, const std::vector<std::size_t>& dims,
                                 std::span<const T> elements) {
    require(formats::byte_count(dims) == elements.size(), "'", name, "' has ", elements.size(), " elements, its shape ",
            formats::describe(dims), " has another number");
    if constexpr (std::floating_point<T>)
      for (std::size_t i = 0; i < elements.size(); ++i)
        require(std::isfinite(elements[i]), "'", name, "' holds ", elements[i], " at index ", i);
    formats::ProtobufMessage tensor;
    for (const std::size_t dim : dims) tensor.add(1, dim);
    tensor.add(2, onnx_type<T>);
    tensor.add(8, name);
    tensor.add(9, std::string_view(reinterpret_cast<const char*>(elements.data()), elements.size_bytes()));
    return define(name, initializers_, 5, tensor);
  }

  /// The same for a vector.
  template <OnnxElement T>
  const std::string& initializer(const std::string& name, const std::vector<std::size_t>& dims,
                                 const std::vector<T>& elements) {
    return initializer(name, dims, std::span<const T>(elements));
  }

  /// Adds an input of the model, floats of shape (batch, `dims`...) for any batch, and returns its name.
  const std::string& input(const std::string& name, const std::vector<std::size_t>& dims) {
    return define(name, inputs_, 11, batch_of_floats(name, dims));
  }

  /// Makes a node's output an output of the model, floats of shape (batch, `dims`...). Throws std::invalid_argument if
  /// there is no value of that name.
  void output(const std::string& name, const std::vector<std::size_t>& dims) {
    require(values_.contains(name), "the output '", name, "' does not exist");
    outputs_.add(12, batch_of_floats(name, dims));
  }

  /// Returns the bytes of an ONNX file. Throws std::invalid_argument if a name or text is not UTF-8, or if the file
  /// would be longer than a protocol buffer can be.
  std::string model(const std::string& name, const std::string& doc_string,
                    const std::map<std::string, std::string>& metadata) const {
    for (const std::string* text : {&name, &doc_string}) formats::require_utf8(*text);
    formats::ProtobufMessage graph = nodes_;
    graph.add(2, name);
    for (const formats::ProtobufMessage* part : {&initializers_, &inputs_, &outputs_}) graph.append(*part);
    formats::ProtobufMessage operator_set, model;
    operator_set.add(1, "");
    operator_set.add(2, 13);
    model.add(1, 7);  // the IR version that belongs to operator set 13
    model.add(2, "repopt");
    model.add(6, doc_string);
    model.add(7, graph);
    model.add(8, operator_set);
    for (const auto& [key, value] : metadata) {
      formats::ProtobufMessage entry;
      for (const std::string* text : {&key, &value}) formats::require_utf8(*text);
      entry.add(1, key);
      entry.add(2, value);
      model.add(14, entry);
    }
    require(model.bytes().size() <= formats::ProtobufMessage::max_size, "the ONNX file would have ",
            model.bytes().size(), " bytes, at most ", formats::ProtobufMessage::max_size, " are legal");
    return model.bytes();
  }

 private:
  /// Adds the value `name`, which `definition` makes, as a field of `part`. Returns the name.
  const std::string& define(const std::string& name, formats::ProtobufMessage& part, std::uint32_t field,
                            const formats::ProtobufMessage& definition) {
    formats::require_utf8(name);
    formats::ProtobufMessage added;
    added.add(field, definition);  // throws if it is too long
    const auto [place, is_new] = values_.insert(name);
    require(is_new, "there is already a value '", name, "'");
    part.append(added);
    return *place;
  }

  static formats::ProtobufMessage message(const OnnxAttribute& attribute) {
    formats::ProtobufMessage message;
    message.add(1, attribute.name);
    if (const auto* number = std::get_if<std::int64_t>(&attribute.value)) {
      message.add(3, *number);
      message.add(20, 2);  // AttributeProto.INT
    } else {
      for (const std::int64_t element : std::get<1>(attribute.value)) message.add(8, element);
      message.add(20, 7);  // AttributeProto.INTS
    }
    return message;
  }

  /// Returns a ValueInfoProto of floats with shape (batch, `dims`...).
  static formats::ProtobufMessage batch_of_floats(const std::string& name, const std::vector<std::size_t>& dims) {
    formats::ProtobufMessage batch, shape, tensor, type, value;
    batch.add(2, "batch");
    shape.add(1, batch);
    for (const std::size_t dim : dims) {
      formats::ProtobufMessage dimension;
      dimension.add(1, dim);
      shape.add(1, dimension);
    }
    tensor.add(1, onnx_type<float>);
    tensor.add(2, shape);
    type.add(1, tensor);
    value.add(1, name);
    value.add(2, type);
    return value;
  }

  formats::ProtobufMessage nodes_, initializers_, inputs_, outputs_;
  std::set<std::string> values_;
};

}  // namespace repopt::io
