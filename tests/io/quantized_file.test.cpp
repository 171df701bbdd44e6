#include "repopt/io/quantized_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "repopt/quant/post_training.hpp"
#include "support/quantized_models.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using namespace repopt::testing;
using namespace repopt::quant;

namespace {

QuantizedVgg quantized(const WeightOptions& options, int activation_bits = 8) {
  auto model = trained_model(nn::Mode::target);
  const std::vector<nn::Tensor<float>> batches{random_images(1)};
  return {model, calibrated(activation_histograms(model, batches), Calibration::mse, 99.99, activation_bits), options};
}

}  // namespace

TEST_CASE("A quantized network is the same after writing and reading, and its kernels are OIHW in the file") {
  const TemporaryFolder folder;
  for (const Scheme scheme : {Scheme::per_tensor, Scheme::per_channel}) {
    QuantizedVgg network = quantized({scheme});
    formats::SafetensorsWriter writer;
    io::add_quantized(writer, network);
    writer.save(folder / "int8.safetensors");
    const auto file = formats::Safetensors::load(folder / "int8.safetensors");
    CHECK(file.info("stage2.1.conv.weight").dtype == *formats::find_dtype("I8"));
    CHECK(file.info("stage2.1.conv.weight").shape == std::vector<std::size_t>{5, 5, 3, 3});
    CHECK(file.info("linear.weight").shape == std::vector<std::size_t>{5, 7});
    CHECK(file.info("linear.bias").dtype == *formats::find_dtype("I32"));
    const QuantizedWeights& weights = network.layers()[3].weights();
    CHECK(file.tensor<std::int8_t>("stage2.1.conv.weight")[1 * 45 + 2 * 9 + 0 * 3 + 1] ==
          weights.weight[weights.shape.offset({.out = 1, .in = 2, .row = 0, .column = 1})]);
    QuantizedVgg read = io::read_quantized(file, network.config());
    const nn::Tensor<float> images = random_images(2);
    CHECK(std::ranges::equal(read.forward(images).values(), network.forward(images).values()));
  }
}

TEST_CASE("Bits and diagonals are the same after writing and reading, and files of 8 bits do not name them") {
  const TemporaryFolder folder;
  const auto written = [&](const QuantizedVgg& network) {
    formats::SafetensorsWriter writer;
    io::add_quantized(writer, network);
    writer.save(folder / "quantized.safetensors");
    return formats::Safetensors::load(folder / "quantized.safetensors");
  };
  for (const std::string& name : written(quantized({})).names()) CHECK(name.find("bits") == name.npos);
  QuantizedVgg network = quantized({Scheme::per_tensor, 5, 16}, 6);
  const auto file = written(network);
  CHECK(file.tensor<std::uint8_t>("stage2.1.conv.weight_bits") == std::vector<std::uint8_t>{5});
  CHECK(file.tensor<std::uint8_t>("images.activation_bits") == std::vector<std::uint8_t>{6});
  CHECK(file.tensor<std::int32_t>("stage2.1.conv.diagonal") == network.layers()[3].weights().diagonal);
  CHECK_FALSE(file.contains("stage2.0.conv.diagonal"));
  QuantizedVgg read = io::read_quantized(file, network.config());
  CHECK(read.layers()[3].weights().bits == 5);
  CHECK(read.activations() == network.activations());
  const nn::Tensor<float> images = random_images(2);
  CHECK(std::ranges::equal(read.forward(images).values(), network.forward(images).values()));
}

TEST_CASE("A quantized network of another shape, or with a missing, superfluous or wrongly typed tensor, is refused") {
  const TemporaryFolder folder;
  const QuantizedVgg network = quantized({});
  nn::VggConfig config = network.config();
  const auto read = [&](auto change) {
    formats::SafetensorsWriter writer;
    change(writer);
    writer.save(folder / "int8.safetensors");
    io::read_quantized(formats::Safetensors::load(folder / "int8.safetensors"), config);
  };
  CHECK_THROWS_WITH_AS(read([](formats::SafetensorsWriter& writer) { writer.add("a", {1}, std::vector<float>{1}); }),
                       doctest::Contains("stage0.conv.weight"), std::runtime_error);
  CHECK_THROWS_WITH_AS(read([&](formats::SafetensorsWriter& writer) {
                         io::add_quantized(writer, network);
                         writer.add("a", {1}, std::vector<float>{1});
                       }),
                       doctest::Contains("holds 38 tensors, the model 'tiny' has 37"), std::runtime_error);
  config.widths[2] = 8;
  CHECK_THROWS_WITH_AS(read([&](formats::SafetensorsWriter& writer) { io::add_quantized(writer, network); }),
                       doctest::Contains("'stage3.0.conv.weight' has shape"), std::runtime_error);
}
