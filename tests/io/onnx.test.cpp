#include "repopt/io/onnx.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "repopt/io/onnx_quantized.hpp"
#include "support/quantized_models.hpp"
#include "support/small_models.hpp"

using namespace repopt;

namespace {

io::OnnxOptions options() { return {.height = 8, .width = 9, .mean = {0.5, 0.25, 0.125}, .std = {1, 2, 3}}; }

/// Whether a file has a constant of that name with exactly these elements.
template <class T>
bool holds(const std::string& file, const std::string& name, const std::vector<T>& elements) {
  formats::ProtobufMessage tensor;  // the last two fields of the constant
  tensor.add(8, name);
  tensor.add(9, std::string_view(reinterpret_cast<const char*>(elements.data()), elements.size() * sizeof(T)));
  return file.find(tensor.bytes()) != file.npos;
}

/// The same for a kernel of any layout, with `zero_point` added to its weights.
template <class T, class From>
bool holds(const std::string& file, const std::string& name, const ConvShape& shape, const std::vector<From>& weight,
           T zero_point) {
  ConvShape oihw = shape;
  oihw.layout = WeightLayout::oihw;
  std::vector<From> in_order(weight.size());
  copy_weight<From>(shape, weight, oihw, std::span<From>(in_order));
  std::vector<T> elements;
  for (const From element : in_order) elements.push_back(T(element + zero_point));
  return holds(file, name, elements);
}

void refuses(const nn::Vgg<float>& model, const io::OnnxOptions& options, const char* message) {
  CHECK_THROWS_WITH_AS(io::onnx_model(model, options), message, std::invalid_argument);
}

}  // namespace

TEST_CASE("The file of a network in any mode holds its kernels and biases with batch norms folded") {
  for (const nn::Mode mode : {nn::Mode::target, nn::Mode::repvgg, nn::Mode::qarepvgg, nn::Mode::deploy}) {
    nn::Vgg<float> model = testing::trained_model(mode);
    const std::string file = io::onnx_model(model, options());
    const auto specs = model.config().block_specs();
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const nn::FusedConv<float> fused = model.blocks()[i]->fused();
      CHECK(holds(file, specs[i].name + ".conv.weight", fused.shape, fused.weight, 0.0F));
      CHECK(holds(file, specs[i].name + ".conv.bias", fused.bias));
    }
    CHECK(holds(file, "linear.weight", model.linear.weight.value));
    CHECK(holds(file, "linear.bias", model.linear.bias.value));
    CHECK(holds<float>(file, "mean", {0.5, 0.25, 0.125}));
    CHECK(holds<float>(file, "std", {1, 2, 3}));
  }
}

TEST_CASE("The file of a quantized network holds the integers, scales and zero points of the integer path") {
  nn::Vgg<float> model = testing::trained_model(nn::Mode::target);
  std::vector<quant::Quantization> activations;
  for (std::size_t i = 0; i < quant::activation_names(model.config()).size(); ++i)
    activations.push_back({0.01F * float(i + 1), std::uint8_t(i == 0 ? 77 : 0)});
  const auto check = [&](quant::Scheme scheme, auto zero_point) {
    const quant::QuantizedVgg quantized(model, activations, {scheme});
    io::OnnxOptions as = options();
    as.signed_weights = zero_point == 0;
    const std::string file = io::onnx_model(quantized, as);
    std::vector<std::string> names = quant::activation_names(model.config());
    for (std::size_t i = 0; i < names.size(); ++i) {
      CHECK(holds<float>(file, names[i] + ".scale", {activations[i].scale}));
      CHECK(holds<std::uint8_t>(file, names[i] + ".zero_point", {activations[i].zero_point}));
    }
    for (std::size_t i = 0; i < quantized.layers().size(); ++i) {
      const quant::QuantizedConv& layer = quantized.layers()[i];
      const quant::QuantizedWeights& numbers = layer.weights();
      const std::string name = i + 1 < quantized.layers().size() ? names[i + 1] + ".conv" : "linear";
      CHECK(numbers.scale.size() == (scheme == quant::Scheme::per_tensor ? 1 : numbers.shape.out_channels));
      CHECK(holds(file, name + ".weight", numbers.shape, numbers.weight, zero_point));
      CHECK(holds(file, name + ".weight.scale", numbers.scale));
      CHECK(holds(file, name + ".weight.zero_point", std::vector(numbers.scale.size(), zero_point)));
      CHECK(holds(file, name + ".bias", numbers.bias));
      std::vector<float> sum_scales;
      for (const float scale : numbers.scale) sum_scales.push_back(float(double(scale) * double(layer.input().scale)));
      CHECK(holds(file, name + ".bias.scale", sum_scales));
    }
  };
  for (const quant::Scheme scheme : {quant::Scheme::per_tensor, quant::Scheme::per_channel}) {
    check(scheme, std::uint8_t(128));
    check(scheme, std::int8_t(0));
  }
}

TEST_CASE("Fewer bits add a Clip of the levels to the file, and a split its diagonal, one product and one sum") {
  const nn::Vgg<float> model = testing::trained_model(nn::Mode::target);
  const std::vector<quant::Quantization> eight(8, {.scale = 0.02F}), five(8, {.scale = 0.02F, .bits = 5});
  const auto file = [&](const std::vector<quant::Quantization>& activations, const quant::WeightOptions& weights) {
    return io::onnx_model(quant::QuantizedVgg(model, activations, weights), options());
  };
  const std::string plain = file(eight, {}), clipped = file(five, {.bits = 5}),
                    split = file(eight, {.diagonal_bits = 16});
  for (const std::string& name : quant::activation_names(model.config())) {
    CHECK(holds<std::uint8_t>(clipped, name + ".largest_level", {31}));
    CHECK(clipped.find(name + ".clipped") != clipped.npos);
    CHECK(plain.find(name + ".clipped") == plain.npos);
  }
  const quant::QuantizedVgg network(model, eight, {.diagonal_bits = 16});
  const quant::QuantizedWeights& numbers = network.layers()[3].weights();
  CHECK(holds(split, "stage2.1.conv.diagonal", numbers.diagonal));
  CHECK(holds<float>(split, "stage2.1.conv.diagonal.scale", {numbers.diagonal_scale}));
  CHECK(split.find("stage2.1.conv.product") != split.npos);
  CHECK(split.find("stage2.1.conv.sum") != split.npos);
  CHECK(split.find("stage2.0.conv.diagonal") == split.npos);
  CHECK(plain.find(".diagonal") == plain.npos);
}

TEST_CASE("Networks and options that no file can represent are refused with the reason") {
  nn::Vgg<float> model = testing::trained_model(nn::Mode::target);
  io::OnnxOptions wrong = options();
  wrong.mean.pop_back();
  refuses(model, wrong, "mean and std have 2 and 3 elements, in_channels is 3");
  wrong = options();
  wrong.std.push_back(1);
  refuses(model, wrong, "mean and std have 3 and 4 elements, in_channels is 3");
  wrong = options();
  wrong.std[2] = 0;
  refuses(model, wrong, "std must be positive, it is 0");
  wrong = options();
  wrong.mean[1] = std::numeric_limits<double>::infinity();
  refuses(model, wrong, "'mean' holds inf at index 1");
  wrong = options();
  wrong.width = 0;
  refuses(model, wrong, "the pictures are 8x0");
  model.linear.weight.value[3] = std::numeric_limits<float>::quiet_NaN();
  refuses(model, options(), "'linear.weight' holds nan at index 3");
}
