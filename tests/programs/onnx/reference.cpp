// onnx_reference WEIGHTS DATA COUNT OUT: writes test pictures and this library's logits for them to the safetensors
// file OUT. Other programs compare an exported ONNX network with it. `images` is (COUNT, 3, 32, 32) in 0..1, and
// `logits` is (COUNT, classes), like the network's input and output. A network that `repopt-cifar quantize` wrote
// computes in integers.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "data/pictures.hpp"
#include "repopt/formats/safetensors.hpp"
#include "training/network.hpp"

namespace {

using namespace repopt_cifar;
using Images = repopt::nn::Tensor<float>;

/// Writes the reference file. forward(images) returns the logits of a batch.
void write_reference(const ModelInfo& info, const repopt::io::ImageDataset& pictures, auto forward, const char* path) {
  require_same_classes(info, pictures);
  std::vector<float> images, logits;
  for (const std::uint8_t pixel : pictures.pixels) images.push_back(float(pixel) / 255);
  constexpr std::size_t batch_size = 250;
  for (std::size_t first = 0; first < pictures.size(); first += batch_size) {
    Images batch({std::min(batch_size, pictures.size() - first), 32, 32, 3});
    for (std::size_t i = 0; i < batch.shape().batch; ++i)
      write_picture(pictures, first + i, info.normalisation, {}, batch, i);
    const auto values = forward(batch).values();
    logits.insert(logits.end(), values.begin(), values.end());
  }
  repopt::formats::SafetensorsWriter writer;
  writer.add("images", {pictures.size(), 3, 32, 32}, images);
  writer.add("logits", {pictures.size(), info.classes}, logits);
  writer.save(path);
}

}  // namespace

int main(int argc, char** argv) try {
  repopt::require(argc == 5, "usage: onnx_reference WEIGHTS DATA COUNT OUT");
  const repopt::io::ImageDataset pictures = PictureSets::load(argv[2], std::stoul(argv[3])).test;
  if (network_format(repopt::formats::Safetensors::load(argv[1])) == NetworkFormat::int8) {
    auto [info, model] = load_quantized_network(argv[1]);
    const auto forward = [&model = model](const Images& x) -> const Images& { return model.forward(x); };
    write_reference(info, pictures, forward, argv[4]);
  } else {
    auto [info, model] = load_network(argv[1]);
    const auto forward = [&model = model](const Images& x) -> const Images& {
      return model.forward(x, repopt::nn::Phase::eval);
    };
    write_reference(info, pictures, forward, argv[4]);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
