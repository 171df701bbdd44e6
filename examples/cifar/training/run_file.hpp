// The files of a run: the trained network, and the checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "repopt/formats/safetensors.hpp"
#include "repopt/io/checkpoint.hpp"
#include "repopt/io/cifar.hpp"
#include "repopt/io/model_file.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/optim/ema.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "training/metrics.hpp"

namespace repopt_cifar {

/// The network of a --mode: rep, plain, and the modes whose branches train folded compute the target structure. Throws
/// std::invalid_argument for any other word.
repopt::nn::Mode network_mode(const std::string& mode);

/// Whether the mode's branches train folded.
bool trains_folded(const std::string& mode);

/// What a network's file says of it.
struct ModelInfo {
  std::string mode, model, data;
  std::string prior = "repvgg";  ///< whose branches a mode with branches trained
  bool deployed = false;         ///< whether `convert` made it a plain network; `mode` still says how it was trained
  std::size_t classes = 0, epochs = 0;
  double train_loss = 0;
  std::string scales;  ///< whose multiplier mode rep trained with: as --scales, "none", or empty if that cannot tell
  Json options;        ///< every option that shaped the training; null in files of older versions
  repopt::io::ChannelStatistics normalisation;

  /// The factor by which `scales` were multiplied.
  double scale_factor() const { return options.is_null() ? 1 : options.value("scale_factor", 1.0); }
};

/// What the tensors of a file are: floats, or what `quantize` made of them.
enum class NetworkFormat { floats, int8 };

/// The format that the metadata name. Throws std::runtime_error if they name none of ours.
NetworkFormat network_format(const repopt::formats::Safetensors& file);

/// Reads the metadata. Throws std::runtime_error if they are not those of a network in that format.
ModelInfo read_model_info(const repopt::formats::Safetensors& file, NetworkFormat format = NetworkFormat::floats);

/// Writes the metadata.
void add_model_info(repopt::formats::SafetensorsWriter& writer, const ModelInfo& info,
                    NetworkFormat format = NetworkFormat::floats);

/// How far a run is: steps of the whole run, sums over the current epoch, and the finished epochs.
struct RunProgress {
  std::size_t step = 0;
  double loss_sum = 0;
  std::size_t correct = 0;
  std::vector<EpochMetrics> metrics;
  std::vector<std::size_t> earlier_epochs{};  ///< the lengths that the run had before it was resumed with more epochs
};

/// What the file of a run's network is to say.
ModelInfo model_info(const TrainOptions& options, const repopt::io::ImageDataset& train,
                     const repopt::io::ChannelStatistics& normalisation, const RunProgress& progress);

/// The options that decide how a run goes on, as text: what a checkpoint must agree with. Only `epochs` may grow.
std::map<std::string, std::string> binding_options(const TrainOptions& options, const std::string& data,
                                                   std::size_t train_images);

/// `progress` as text beside the options, and back. Throws std::runtime_error, naming `source`, if it is damaged.
void add_progress(std::map<std::string, std::string>& texts, const RunProgress& progress);
RunProgress take_progress(std::map<std::string, std::string>& texts, std::size_t step, const std::string& source);

/// What the names of averaged weights begin with in a checkpoint.
inline const std::string average_prefix = "average.";

/// Throws std::runtime_error that names the first option in which checkpoint and run differ, and both values.
void require_same_options(const std::map<std::string, std::string>& run,
                          const std::map<std::string, std::string>& saved, const std::string& source);

/// Writes a checkpoint, in place of an older one only when it is whole; with the averages of the weights if there is an
/// `ema`.
template <class Rule, template <class> class Model, class T>
void write_checkpoint(const std::filesystem::path& path, std::map<std::string, std::string> options, std::uint64_t seed,
                      std::size_t steps_per_epoch, Model<T>& model, const repopt::RepOptimizer<Rule, T>& optimizer,
                      repopt::Ema<T>* ema, const RunProgress& progress) {
  repopt::io::Checkpoint<T> checkpoint;
  const auto add_model = [&](const std::string& prefix) {
    for (auto& [name, tensor] : repopt::io::model_tensors(model))
      checkpoint.model[prefix + name] = {tensor.shape, checkpoint.keep(std::move(tensor.elements))};
  };
  add_model("");
  if (ema) {
    ema->swap();
    add_model(average_prefix);
    ema->swap();
  }
  checkpoint.optimizer = optimizer.state_dict();
  checkpoint.progress = {.epoch = progress.step / steps_per_epoch, .step = progress.step};
  checkpoint.random_state = {seed};
  add_progress(options, progress);
  checkpoint.options = std::move(options);
  checkpoint.save(path);
}

/// Restores model, optimizer, averages and progress; changes nothing if something does not fit. Throws
/// std::runtime_error or std::invalid_argument that says what.
template <class Rule, template <class> class Model, class T>
RunProgress read_checkpoint(const std::filesystem::path& path, const std::map<std::string, std::string>& options,
                            Model<T>& model, repopt::RepOptimizer<Rule, T>& optimizer, repopt::Ema<T>* ema) {
  auto checkpoint = repopt::io::Checkpoint<T>::load(path);
  RunProgress progress = take_progress(checkpoint.options, checkpoint.progress.step, path.string());
  require_same_options(options, checkpoint.options, path.string());
  if (const std::size_t epochs = std::stoul(checkpoint.options.at("epochs"));
      epochs != std::stoul(options.at("epochs")))
    progress.earlier_epochs.push_back(epochs);
  std::map<std::string, repopt::io::ModelTensor<T>> tensors, averages;
  for (const auto& [name, tensor] : checkpoint.model) {
    const bool average = name.starts_with(average_prefix);
    (average ? averages : tensors)[average ? name.substr(average_prefix.size()) : name] = {
        tensor.shape, {tensor.elements.begin(), tensor.elements.end()}};
  }
  const auto before = repopt::io::model_tensors(model);
  repopt::io::assign_model(model, tensors, path.string());
  try {
    if (ema) repopt::io::assign_model(model, averages, path.string());
    optimizer.load_state_dict(checkpoint.optimizer);
  } catch (...) {
    repopt::io::assign_model(model, before, path.string());
    throw;
  }
  if (ema) {
    ema->swap();
    repopt::io::assign_model(model, tensors, path.string());
  }
  return progress;
}

}  // namespace repopt_cifar
