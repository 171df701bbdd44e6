#include "training/network.hpp"

#include <stdexcept>
#include <utility>

#include "repopt/io/quantized_file.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/folded_training.hpp"
#include "training/faults.hpp"

namespace repopt_cifar {

using repopt::nn::Mode;

namespace {

/// The network that the metadata of `file` speak of.
repopt::nn::VggConfig config_of(const repopt::formats::Safetensors& file, const ModelInfo& info) {
  try {
    network_mode(info.mode);
    repopt::nn::prior_of_name(info.prior);
    repopt::nn::VggConfig config = repopt::nn::vgg_preset(info.model);
    config.classes = info.classes;
    return config;
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(repopt::concat(file.name(), ": ", error.what()));
  }
}

/// Reads the branches of a network that trained folded, or whose branches were real ones, into the plain network.
void read_folded(const repopt::formats::Safetensors& file, const ModelInfo& info, repopt::nn::Vgg<float>& model) {
  using namespace repopt::nn;
  const Prior prior = prior_of_name(info.prior);
  FoldedTraining<float> folded(model,
                               folded_kernels(model.config(), prior, ones_scales<float>(model.config(), prior), false));
  repopt::io::read_model(file, folded);
  if (const auto fault = network_fault(folded)) throw std::runtime_error(repopt::concat(file.name(), ": ", *fault));
  folded.fold();
}

}  // namespace

Network load_network(const std::filesystem::path& weights) {
  const auto file = repopt::formats::Safetensors::load(weights);
  ModelInfo info = read_model_info(file);
  const repopt::nn::VggConfig config = config_of(file, info);
  const bool has_branches = !info.deployed && (info.mode == "csla" || trains_folded(info.mode));
  const Mode mode = info.deployed ? Mode::deploy : has_branches ? Mode::target : network_mode(info.mode);
  repopt::nn::Vgg<float> model(config, repopt::nn::block_builder<float>(mode));
  if (has_branches)
    read_folded(file, info, model);
  else
    repopt::io::read_model(file, model);
  if (const auto fault = network_fault(model)) throw std::runtime_error(repopt::concat(file.name(), ": ", *fault));
  return {std::move(info), std::move(model)};
}

QuantizedNetwork load_quantized_network(const std::filesystem::path& weights) {
  const auto file = repopt::formats::Safetensors::load(weights);
  ModelInfo info = read_model_info(file, NetworkFormat::int8);
  repopt::quant::QuantizedVgg model = repopt::io::read_quantized(file, config_of(file, info));
  return {std::move(info), std::move(model)};
}

void save_quantized_network(const std::filesystem::path& path, const ModelInfo& info,
                            const repopt::quant::QuantizedVgg& model) {
  repopt::formats::SafetensorsWriter writer;
  add_model_info(writer, info, NetworkFormat::int8);
  repopt::io::add_quantized(writer, model);
  writer.save(path);
}

void require_same_classes(const ModelInfo& info, const repopt::io::ImageDataset& pictures) {
  repopt::require(pictures.classes == info.classes, "the network tells ", info.classes, " classes apart, ",
                  pictures.name, " has ", pictures.classes, "; --classes chooses the first ones");
}

}  // namespace repopt_cifar
