#include "network.hpp"

#include <utility>

#include "repopt/search/hyper_search.hpp"

namespace repopt_cifar {

using repopt::nn::Mode;

Network load_network(const std::filesystem::path& weights) {
  const auto file = repopt::io::Safetensors::load(weights);
  ModelInfo info = read_model_info(file);
  repopt::nn::RepOptVggConfig config = repopt::nn::repopt_vgg_preset(info.model);
  config.classes = info.classes;
  const Mode mode = info.deployed ? Mode::deploy : network_mode(info.mode);
  const bool csla = mode == Mode::csla || mode == Mode::hyper_search;
  repopt::nn::RepOptVgg<float> model(config, mode, 0,
                                     csla ? repopt::search::ones_scales<float>(config) : repopt::nn::Scales<float>{});
  repopt::io::read_model(file, model);
  return {std::move(info), std::move(model)};
}

void require_same_classes(const ModelInfo& info, const repopt::io::ImageDataset& pictures) {
  repopt::require(pictures.classes == info.classes, "the network tells ", info.classes, " classes apart, ",
                  pictures.name, " has ", pictures.classes);
}

}  // namespace repopt_cifar
