#include "repopt/quant/layer_report.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/quantized_models.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::quant;
using namespace repopt::testing;

namespace {

/// Checks the numbers of the block's kernel, which has a centre diagonal if the block keeps the image's shape.
void check_weights(const LayerReport& report, const FusedConv<float>& conv, bool has_diagonal) {
  double sum = 0, squared_deviations = 0, largest = 0, diagonal_largest = 0;
  for (const float weight : conv.weight) {
    sum += double(weight);
    largest = std::max(largest, std::abs(double(weight)));
  }
  const double count = double(conv.weight.size());
  for (const float weight : conv.weight) squared_deviations += std::pow(double(weight) - sum / count, 2);
  for (std::size_t c = 0; has_diagonal && c < conv.shape.out_channels; ++c) {
    const std::size_t k = conv.shape.offset({.out = c, .in = c, .row = 1, .column = 1});
    diagonal_largest = std::max(diagonal_largest, std::abs(double(conv.weight[k])));
  }
  CHECK(report.weight_std == doctest::Approx(std::sqrt(squared_deviations / count)).epsilon(1e-6));
  CHECK(report.weight_largest == doctest::Approx(largest).epsilon(1e-6));
  CHECK(report.diagonal_largest == doctest::Approx(diagonal_largest).epsilon(1e-6));
}

}  // namespace

TEST_CASE("A report shows a high ratio for accurate kernels, and clipped outputs as outliers of their block alone") {
  Vgg<float> model = deployed(trained_model(Mode::target));
  const std::vector<Tensor<float>> batches{random_images(2)};
  const std::vector<Histogram> histograms = activation_histograms(model, batches);
  std::vector<Quantization> activations = calibrated(histograms, Calibration::min_max);
  activations[2].scale /= 2;
  QuantizedVgg quantized(model, activations, {});
  const std::vector<LayerReport> reports = layer_reports(model, quantized, histograms, batches[0]);
  REQUIRE(reports.size() == model.blocks().size());
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const LayerReport& report = reports[i];
    CAPTURE(report.name);
    CHECK(report.name == activation_names(model.config())[i + 1]);
    check_weights(report, model.blocks()[i]->fused(), i == 1 || i == 3);
    CHECK(report.weight_sqnr > 35);
    CHECK((report.outliers > 0) == (i == 1));
    CHECK(report.output_seen == doctest::Approx((i == 1 ? 2 : 1) * report.output_clipped_at).epsilon(1e-5));
  }
  CHECK(reports[0].output_sqnr > 25);
  CHECK(reports[1].output_sqnr < 25);
}

TEST_CASE("A report counts a diagonal that is split off as part of its kernel") {
  Vgg<float> model = deployed(trained_model(Mode::repvgg));
  const std::vector<Tensor<float>> batches{random_images(2)};
  const std::vector<Histogram> histograms = activation_histograms(model, batches);
  const auto report = [&](int diagonal_bits) {
    QuantizedVgg quantized(model, calibrated(histograms, Calibration::min_max), {.diagonal_bits = diagonal_bits});
    return layer_reports(model, quantized, histograms, batches[0])[3];
  };
  const LayerReport whole = report(0), split = report(16);
  CHECK(split.weight_largest == whole.weight_largest);
  CHECK(split.diagonal_largest == whole.diagonal_largest);
  CHECK(split.weight_sqnr > whole.weight_sqnr);
}

TEST_CASE("A report names the largest gamma / sigma of the identity's batch norm, if the network has one") {
  Vgg<float> model = trained_model(Mode::repvgg);
  model.visit_parameters([](const std::string& name, Parameter<float>& p) {
    if (name == "stage2.1.bn_identity.weight") p.value = {1, -6, 2, 3, 1};
    if (name == "stage2.1.bn_identity.running_var") p.value = {1, 4, 1, 1, 1};
  });
  std::vector<LayerReport> reports(2);
  reports[0].name = "stage2.0";
  reports[1].name = "stage2.1";
  add_identity_scales(reports, model);
  CHECK(reports[0].identity_scale == 0);
  CHECK(reports[1].identity_scale == doctest::Approx(6 / std::sqrt(4 + 1e-5)).epsilon(1e-12));
}

TEST_CASE("Histograms, images and a quantized network that do not fit the network are refused") {
  Vgg<float> model = trained_model(Mode::target);
  const Tensor<float> images = random_images(2);
  const std::vector<Histogram> histograms = activation_histograms(model, {images});
  const auto activations = calibrated(histograms, Calibration::min_max);
  QuantizedVgg quantized(model, activations, {});
  const auto refused = [&](const char* message, QuantizedVgg& given, const std::vector<Histogram>& counts,
                           const Tensor<float>& pictures) {
    CHECK_THROWS_WITH_AS(layer_reports(model, given, counts, pictures), message, std::invalid_argument);
  };
  CHECK_NOTHROW(layer_reports(model, quantized, histograms, images));
  std::vector<Histogram> wrong(histograms.begin(), histograms.end() - 1);
  refused("there are 7 histograms, the network has 8 places for them", quantized, wrong, images);
  wrong.emplace_back(Range{0, 1});
  refused("the histogram of pooled has no values", quantized, wrong, images);
  refused("there are no images to compare on", quantized, histograms, Tensor<float>({0, 8, 8, 3}));

  VggConfig config = tiny_config();
  ++config.blocks[3];
  const Vgg<float> deeper = plain_vgg<float>(config, 1);
  QuantizedVgg of_deeper(deeper, std::vector<Quantization>(9), {});
  refused("the network has 6 blocks, the quantized network has 7", of_deeper, histograms, images);
  config = tiny_config();
  ++config.stem;
  const Vgg<float> wider = plain_vgg<float>(config, 1);
  QuantizedVgg of_wider(wider, activations, {});
  CHECK_THROWS_AS(layer_reports(model, of_wider, histograms, images), std::invalid_argument);
}
