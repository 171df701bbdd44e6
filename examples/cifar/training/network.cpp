#include "training/network.hpp"

#include <stdexcept>
#include <utility>

#include "repopt/io/quantized_file.hpp"
#include "repopt/nn/models/builders.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "training/faults.hpp"

namespace repopt_cifar {

using repopt::nn::Mode;

namespace {

/// The network that the metadata of `file` speak of.
repopt::nn::VggConfig config_of(const repopt::formats::Safetensors& file, const ModelInfo& info) {
  try {
    network_mode(info.mode);
    repopt::nn::VggConfig config = repopt::nn::vgg_preset(info.model);
    config.classes = info.classes;
    return config;
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(repopt::concat(file.name(), ": ", error.what()));
  }
}

}  // namespace

Network load_network(const std::filesystem::path& weights) {
  const auto file = repopt::formats::Safetensors::load(weights);
  ModelInfo info = read_model_info(file);
  const repopt::nn::VggConfig config = config_of(file, info);
  const Mode mode = info.deployed ? Mode::deploy : network_mode(info.mode);
  const auto scales = has_scales(mode) ? repopt::nn::ones_scales<float>(config) : repopt::Scales<float>{};
  repopt::nn::Vgg<float> model(config, repopt::nn::block_builder(mode, scales));
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
