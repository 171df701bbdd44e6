#include "repopt/quant/post_training.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "support/quantized_models.hpp"

using namespace repopt;
using namespace repopt::nn;
using namespace repopt::quant;
using namespace repopt::testing;

TEST_CASE("A report shows a high ratio for accurate kernels, and clipped outputs as outliers of their block alone") {
  Vgg<float> model = deployed(trained_model(Mode::target));
  const std::vector<Tensor<float>> batches{random_images(2)};
  const std::vector<Histogram> histograms = activation_histograms(model, batches);
  std::vector<Quantization> activations = calibrated(histograms, Calibration::min_max);
  activations[2].scale /= 2;
  QuantizedVgg quantized(model, activations, Scheme::per_channel);
  const std::vector<LayerReport> reports = layer_reports(model, quantized, histograms, batches[0]);
  REQUIRE(reports.size() == model.blocks().size());
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const LayerReport& report = reports[i];
    CAPTURE(report.name);
    CHECK(report.name == activation_names(model.config())[i + 1]);
    CHECK(report.weight_std > 0);
    CHECK(report.weight_largest > report.weight_std);
    CHECK(report.weight_sqnr > 35);
    CHECK((report.outliers > 0) == (i == 1));
    CHECK(report.output_seen == doctest::Approx((i == 1 ? 2 : 1) * report.output_clipped_at).epsilon(1e-5));
  }
  CHECK(reports[0].output_sqnr > 25);
  CHECK(reports[1].output_sqnr < 25);
}
