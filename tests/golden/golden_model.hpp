// check_model: compares a whole RepOpt-VGG that stock PyTorch trained with the same network of repopt::nn. In mode csla
// it also compares it with the target network that RepOptimizer trains.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "golden/golden_file.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/folded_training.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/nn/models/vgg_scales.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "repopt/tensor/tensor.hpp"
#include "support/naive_conv.hpp"

namespace repopt::testing {

/// Returns the file's name for a parameter of the model.
using NameInFile = std::function<std::string(const std::string& parameter)>;

/// Returns the file's name with a prefix, e.g. "init.stage0.bn.bias" for prefix "init.".
inline NameInFile with_prefix(const std::string& prefix) {
  return [prefix](const std::string& parameter) { return prefix + parameter; };
}

inline nn::VggConfig read_config(const GoldenFile& file) {
  const nlohmann::json bn = file.json("bn");
  if (bn.size() != 2) throw std::runtime_error("unknown bn: " + bn.dump());
  return {.stem = file.value<std::size_t>("stem"),
          .widths = file.value<std::array<std::size_t, 4>>("widths"),
          .blocks = file.value<std::array<std::size_t, 4>>("blocks"),
          .strides = file.value<std::array<std::size_t, 5>>("strides"),
          .classes = file.data("init.linear.bias").size(),
          .in_channels = file.tensor("x.0").shape.at(1),
          .bn_eps = bn.at("eps").get<double>(),
          .bn_momentum = bn.at("momentum").get<double>()};
}

inline nn::Mode read_mode(const GoldenFile& file) {
  for (const nn::Mode mode : {nn::Mode::target, nn::Mode::csla, nn::Mode::hyper_search, nn::Mode::repvgg})
    if (file.text("mode") == nn::to_string(mode)) return mode;
  throw std::runtime_error("unknown mode '" + file.text("mode") + "'");
}

/// Returns a tensor of the file in the memory order of `parameter`.
template <class T>
std::vector<T> read_parameter(const GoldenFile& file, const std::string& name, const nn::ParameterView<T>& parameter) {
  const GoldenTensor& tensor = file.tensor(name);
  if (tensor.shape != parameter.dims)
    throw std::runtime_error("tensor '" + name + "' has another shape than the model's");
  const std::vector<T> values(tensor.data.begin(), tensor.data.end());
  return parameter.conv ? from_oihw(*parameter.conv, values) : values;
}

/// Fills an nn::Vgg or an nn::FoldedTraining from the file.
template <template <class> class Model, class T>
void load(Model<T>& model, const GoldenFile& file, const NameInFile& name_in_file) {
  model.visit_parameters([&](const std::string& name, auto&& parameter) {
    std::ranges::copy(read_parameter<T>(file, name_in_file(name), nn::view_of(parameter)), parameter.value.begin());
  });
}

template <template <class> class Model, class T>
void compare(Model<T>& model, const GoldenFile& file, const NameInFile& name_in_file, Largest& largest) {
  model.visit_parameters([&](const std::string& name, auto&& parameter) {
    largest.add(name_in_file(name), parameter.value,
                read_parameter<T>(file, name_in_file(name), nn::view_of(parameter)));
  });
}

/// Returns the scales and initial identity weights from which csla and hyper_search models are built.
template <class T>
Scales<T> read_scales(const GoldenFile& file, const nn::VggConfig& config) {
  Scales<T> scales;
  for (const auto& [name, length] : nn::scale_lengths(config)) {
    const std::vector<double>& scale = file.data("init." + name, length);
    scales[name].assign(scale.begin(), scale.end());
  }
  return scales;
}

/// Returns the file's NCHW images as NHWC.
template <class T>
nn::Tensor<T> read_nhwc(const GoldenFile& file, const std::string& name) {
  const GoldenTensor& x = file.tensor(name);
  if (x.shape.size() != 4) throw std::runtime_error("tensor '" + name + "' has not 4 dimensions");
  nn::Tensor<T> images({x.shape[0], x.shape[2], x.shape[3], x.shape[1]});
  const std::size_t pixels = x.shape[2] * x.shape[3], channels = x.shape[1];
  for (std::size_t k = 0; k < x.data.size(); ++k) {
    const std::size_t image = k / (pixels * channels), channel = k / pixels % channels;
    images.pixel(image * pixels + k % pixels)[channel] = T(x.data[k]);
  }
  return images;
}

/// Trains as recorded; with `folded`, by way of the model's folded branches. Compares the losses and, at the end, the
/// logits in evaluation.
template <class Rule, class T>
void train_model(nn::Vgg<T>& model, RepOptimizer<Rule, T>& optimizer, const GoldenFile& file, double max_norm,
                 const std::string& what, Largest& largest, nn::FoldedTraining<T>* folded = nullptr) {
  const auto iterations = file.value<std::size_t>("iterations");
  const auto label_smoothing = file.value<double>("label_smoothing");
  for (std::size_t t = 0; t < iterations; ++t) {
    const std::string step = concat(".", t);
    const nn::Tensor<T> x = read_nhwc<T>(file, "x" + step);
    const std::vector<double>& recorded_labels = file.data("labels" + step, x.shape().batch);
    const std::vector<int> labels(recorded_labels.begin(), recorded_labels.end());
    nn::Tensor<T> grad_logits;
    if (folded) folded->fold();
    model.zero_grad();
    const double loss = nn::cross_entropy<T>(model.forward(x, nn::Phase::train), labels, label_smoothing, grad_logits);
    model.backward(grad_logits);
    if (folded) folded->add_gradients();
    largest.add("loss" + step + " of " + what, std::array{loss}, file.data("loss" + step));
    if (max_norm > 0) optimizer.clip_grad_norm(max_norm);
    optimizer.step();
  }
  if (folded) folded->fold();
  const nn::Tensor<T> x = read_nhwc<T>(file, "x.0");
  largest.add("logits.eval of " + what, model.forward(x, nn::Phase::eval).values(), file.data("logits.eval"));
}

/// Returns the target network that stands for the recorded CSLA network, by both rules.
template <class Rule, class T>
void check_target(const GoldenFile& file, const nn::VggConfig& config, const Scales<T>& scales,
                  const typename Rule::Options& options, double max_norm, Largest& largest) {
  const auto named = [&file](const std::string& prefix) {
    return [&file, prefix](const std::string& parameter) {
      const std::string of_target = "target." + prefix + parameter;
      return file.has_tensor(of_target) ? of_target : prefix + parameter;
    };
  };
  nn::Vgg<T> csla(config, nn::block_builder<T>(nn::Mode::csla, scales));
  load(csla, file, with_prefix("init."));
  nn::Vgg<T> by_rule = nn::equivalent_target(csla);
  compare(by_rule, file, named("init."), largest);

  nn::Vgg<T> target(config, nn::plain_block<T>);
  load(target, file, named("init."));
  RepOptimizer<Rule, T> optimizer;
  nn::add_parameters(optimizer, target, options, nn::prior_blocks(config, scales));
  train_model(target, optimizer, file, max_norm, "the target", largest);
  compare(target, file, named("final."), largest);
}

/// Trains the branches of the recorded network folded.
template <class Rule, class T>
void check_folded_network(const GoldenFile& file, const nn::VggConfig& config, bool trains_scales,
                          const Scales<T>& scales, const typename Rule::Options& options, double max_norm,
                          Largest& largest) {
  nn::Vgg<T> model(config, nn::plain_block<T>);
  nn::FoldedTraining<T> folded(model, nn::folded_kernels(config, nn::Prior::repvgg, scales, trains_scales));
  load(folded, file, with_prefix("init."));
  RepOptimizer<Rule, T> optimizer;
  nn::add_parameters(optimizer, folded, options);
  train_model(model, optimizer, file, max_norm, "the folded network", largest, &folded);
  Largest of_parameters;
  compare(folded, file, with_prefix("final."), of_parameters);
  of_parameters.where += " of the folded network";
  largest.add(of_parameters);
}

/// Throws std::runtime_error if the file has parameters that the model lacks.
template <class T>
void require_same_parameters(nn::Vgg<T>& model, const GoldenFile& file) {
  std::set<std::string> names;
  model.visit_parameters([&](const std::string& name, nn::Parameter<T>&) { names.insert(name); });
  for (const auto& [tensor, values] : file.tensors())
    for (const std::string prefix : {"init.", "final."})
      if (tensor.starts_with(prefix) && !names.contains(tensor.substr(prefix.size())) &&
          !tensor.ends_with(".num_batches_tracked"))
        throw std::runtime_error("the model has no parameter for tensor '" + tensor + "'");
}

template <class T>
Largest check_model_in(const GoldenFile& file) {
  const nn::VggConfig config = read_config(file);
  const nn::Mode mode = read_mode(file);
  const Scales<T> scales = nn::has_scales(mode) ? read_scales<T>(file, config) : Scales<T>();
  return with_rule(file, [&]<class Rule>(Rule, const typename Rule::Options& options, double max_norm) {
    Largest largest;
    nn::Vgg<T> model(config, nn::block_builder<T>(mode, scales));
    require_same_parameters(model, file);
    load(model, file, with_prefix("init."));
    RepOptimizer<Rule, T> optimizer;
    nn::add_parameters(optimizer, model, options);
    train_model(model, optimizer, file, max_norm, file.text("mode"), largest);
    compare(model, file, with_prefix("final."), largest);
    if (nn::has_scales(mode))
      check_folded_network<Rule>(file, config, mode == nn::Mode::hyper_search, scales, options, max_norm, largest);
    if constexpr (ReparameterizableRule<Rule, T>)
      if (mode == nn::Mode::csla) check_target<Rule>(file, config, scales, options, max_norm, largest);
    return largest;
  });
}

/// The largest errors in double and in float.
struct ModelErrors {
  Largest in_double, in_float;
};

inline ModelErrors check_model(const GoldenFile& file) {
  file.require_known_metadata({"kind", "mode", "stem", "widths", "blocks", "strides", "optimizer", "label_smoothing",
                               "iterations", "bn", "decay"});
  const std::string decay = "weights of dim > 1 and scale_identity.weight; nothing else";
  if (file.text("decay") != decay) throw std::runtime_error("unknown decay: " + file.text("decay"));
  return {check_model_in<double>(file), check_model_in<float>(file)};
}

}  // namespace repopt::testing
