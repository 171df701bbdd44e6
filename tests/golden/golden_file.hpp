// GoldenFile: a file that was recorded from stock PyTorch. It makes sure that nothing in the file is silently ignored.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/formats/safetensors.hpp"
#include "repopt/optim/rules/adam.hpp"
#include "repopt/optim/rules/adamw.hpp"
#include "repopt/optim/rules/sgd.hpp"
#include "support/relative_error.hpp"

namespace repopt::testing {

/// The largest relative error so far, and its place.
struct Largest {
  double error = 0;
  std::string where{};

  void add(const std::string& name, const auto& a, const auto& b) { add({relative_error(a, b), name}); }

  void add(const Largest& other) {
    if (where.empty() || other.error > error) *this = other;
  }
};

/// Converts a JSON value to V. Throws std::runtime_error, which names `what`, if the value is not a V or the conversion
/// loses something: nlohmann converts 2.7 to the integer 2, and an array of five elements to an array of four.
template <class V>
V exactly(const nlohmann::json& value, const std::string& what) {
  try {
    const V result = value.get<V>();
    if (nlohmann::json(result) == value) return result;
  } catch (const nlohmann::json::exception&) {
  }
  throw std::runtime_error("impossible " + what + ": " + value.dump());
}

struct GoldenTensor {
  std::vector<std::size_t> shape;
  std::vector<double> data;
};

class GoldenFile {
 public:
  /// Reads the file. Throws std::runtime_error if it is broken.
  explicit GoldenFile(const std::filesystem::path& path) {
    const auto file = formats::Safetensors::load(path);
    metadata_ = file.metadata();
    for (const std::string& name : file.names()) {
      GoldenTensor& tensor = tensors_[name];
      tensor.shape = file.info(name).shape;
      if (file.info(name).dtype == formats::dtype_of<std::int64_t>) {  // PyTorch's labels
        const auto integers = file.tensor<std::int64_t>(name);
        tensor.data.assign(integers.begin(), integers.end());
      } else {
        tensor.data = file.tensor<double>(name);
      }
    }
  }

  bool has(const std::string& key) const { return metadata_.contains(key); }
  bool has_tensor(const std::string& name) const { return tensors_.contains(name); }

  /// The metadata of a key, as text. Throws std::runtime_error if there is no such key.
  const std::string& text(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) throw std::runtime_error("metadata lacks '" + key + "'");
    return found->second;
  }

  /// The metadata of a key, parsed as JSON.
  nlohmann::json json(const std::string& key) const {
    try {
      return nlohmann::json::parse(text(key));
    } catch (const nlohmann::json::exception& error) {
      throw std::runtime_error("metadata '" + key + "': " + error.what());
    }
  }

  template <class V>
  V value(const std::string& key) const {
    return exactly<V>(json(key), "metadata '" + key + "'");
  }

  const GoldenTensor& tensor(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw std::runtime_error("tensor '" + name + "' is missing");
    return found->second;
  }

  const std::vector<double>& data(const std::string& name) const { return tensor(name).data; }

  /// The elements of a tensor. Throws std::runtime_error unless it has `size` elements.
  const std::vector<double>& data(const std::string& name, std::size_t size) const {
    const auto& found = data(name);
    if (found.size() != size)
      throw std::runtime_error(concat("tensor '", name, "' has ", found.size(), " elements, it must have ", size));
    return found;
  }

  const std::map<std::string, GoldenTensor>& tensors() const { return tensors_; }

  /// Throws std::runtime_error if the metadata have a key that is not in `known`.
  void require_known_metadata(std::initializer_list<const char*> known) const {
    for (const auto& [key, value] : metadata_)
      if (std::find(known.begin(), known.end(), key) == known.end())
        throw std::runtime_error("unknown metadata '" + key + "': " + value);
  }

 private:
  std::map<std::string, std::string> metadata_;
  std::map<std::string, GoldenTensor> tensors_;
};

/// A JSON object whose members are read one by one. finish() throws std::runtime_error if a member was not read.
class Members {
 public:
  Members(nlohmann::json object, std::string name) : object_(std::move(object)), name_(std::move(name)) {
    if (!object_.is_object()) throw std::runtime_error(name_ + " is no JSON object: " + object_.dump());
  }

  bool has(const char* key) const { return object_.contains(key); }

  template <class V>
  V take(const char* key) {
    if (!has(key)) throw std::runtime_error(name_ + " lacks '" + key + "'");
    const nlohmann::json value = object_[key];
    object_.erase(key);
    return exactly<V>(value, concat(key, " of ", name_));
  }

  template <class V>
  V take(const char* key, V otherwise) {
    return has(key) ? take<V>(key) : otherwise;
  }

  /// Reads one number for both axes, or a pair of numbers.
  std::array<std::size_t, 2> take_pair(const char* key, std::array<std::size_t, 2> otherwise) {
    if (!has(key)) return otherwise;
    if (object_[key].is_array()) return take<std::array<std::size_t, 2>>(key);
    const auto both = take<std::size_t>(key);
    return {both, both};
  }

  void finish() const {
    if (!object_.empty()) throw std::runtime_error(name_ + " has unknown members: " + object_.dump());
  }

 private:
  nlohmann::json object_;
  std::string name_;
};

inline void take_options(Members& recorded, Sgd::Options& options) {
  options.lr = recorded.take<double>("lr");
  options.momentum = recorded.take("momentum", options.momentum);
  options.dampening = recorded.take("dampening", options.dampening);
  options.weight_decay = recorded.take("weight_decay", options.weight_decay);
  options.nesterov = recorded.take("nesterov", options.nesterov);
}

void take_options(Members& recorded, auto& options) {
  options.lr = recorded.take<double>("lr");
  options.betas = recorded.take("betas", options.betas);
  options.eps = recorded.take("eps", options.eps);
  options.weight_decay = recorded.take("weight_decay", options.weight_decay);
  options.amsgrad = recorded.take("amsgrad", options.amsgrad);
}

/// Calls check(Rule(), options, max_norm) for the recorded optimizer; max_norm is 0 if it does not clip. Throws
/// std::runtime_error if the optimizer is not one of `Rules`.
template <class... Rules>
auto with_rule_of(const GoldenFile& file, auto check) {
  Members recorded(file.json("optimizer"), "optimizer");
  const auto rule = recorded.take<std::string>("rule");
  const auto max_norm = recorded.take("clip_grad_norm", 0.0);
  const auto read = [&](auto rule_type) {
    typename decltype(rule_type)::Options options;
    take_options(recorded, options);
    recorded.finish();
    return check(rule_type, options, max_norm);
  };
  std::optional<decltype(check(Sgd(), Sgd::Options(), 0.0))> result;
  const auto try_rule = [&](auto rule_type) {
    if (rule == decltype(rule_type)::name) result = read(rule_type);
  };
  (try_rule(Rules()), ...);
  if (!result) throw std::runtime_error("unknown rule '" + rule + "'");
  return *result;
}

/// The same for any rule.
auto with_rule(const GoldenFile& file, auto check) { return with_rule_of<Sgd, AdamW, Adam>(file, check); }

/// The same for the rules that have a form on the kernel of a block.
auto with_reparameterizable_rule(const GoldenFile& file, auto check) { return with_rule_of<Sgd, AdamW>(file, check); }

}  // namespace repopt::testing
