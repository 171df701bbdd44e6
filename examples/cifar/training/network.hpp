// A trained network and its file: what `train` and `convert` write, and every other subcommand reads.
#pragma once

#include <filesystem>
#include <string>

#include "repopt/formats/safetensors.hpp"
#include "repopt/io/model_file.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/quant/quantized_vgg.hpp"
#include "training/run_file.hpp"

namespace repopt_cifar {

/// A trained network, and how it was trained.
struct Network {
  ModelInfo info;
  repopt::nn::Vgg<float> model;
};

/// Reads a file of save_network(). Throws std::runtime_error that names the file and what does not fit.
Network load_network(const std::filesystem::path& weights);

/// A network that `quantize` wrote.
struct QuantizedNetwork {
  ModelInfo info;
  repopt::quant::QuantizedVgg model;
};

/// Reads a file of save_quantized_network(). Throws std::runtime_error that names the file and what does not fit.
QuantizedNetwork load_quantized_network(const std::filesystem::path& weights);

/// Writes the network, in place of an older file only when it is whole.
void save_quantized_network(const std::filesystem::path& path, const ModelInfo& info,
                            const repopt::quant::QuantizedVgg& model);

/// Throws std::invalid_argument unless the pictures have the network's classes.
void require_same_classes(const ModelInfo& info, const repopt::io::ImageDataset& pictures);

/// Writes the network, a Vgg or a FoldedTraining, under PyTorch's names, in place of an older file only when it is
/// whole.
template <template <class> class Model, class T>
void save_network(const std::filesystem::path& path, const ModelInfo& info, Model<T>& model) {
  repopt::formats::SafetensorsWriter writer;
  add_model_info(writer, info);
  repopt::io::add_model(writer, model);
  writer.save(path);
}

}  // namespace repopt_cifar
