#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <stdexcept>

#include "commands.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "support/temporary_folder.hpp"

using repopt::Scales;
using repopt::testing::TemporaryFolder;

namespace {

/// Checks that a training with these scales is refused and writes nothing.
void refuses(const Scales<float>& scales, const char* message, bool average = false) {
  const TemporaryFolder folder;
  repopt::formats::save_scales<float>(folder / "scales", scales);
  repopt_cifar::TrainOptions options;
  options.data = "synthetic";
  options.model = "cifar-small";
  options.limit = 64;
  options.scales = (folder / "scales").string();
  options.average_scales = average;
  options.out = folder / "run";
  CHECK_THROWS_WITH_AS(repopt_cifar::train(options), doctest::Contains(message), std::runtime_error);
  CHECK_FALSE(std::filesystem::exists(options.out));
}

}  // namespace

TEST_CASE("train refuses scales that do not fit or cannot train, before it writes anything") {
  const auto good = repopt::nn::sqrt_scales<float>(repopt::nn::vgg_preset("cifar-small"));
  const auto with = [&](auto change) {
    Scales<float> scales = good;
    change(scales);
    return scales;
  };
  const char* const name = "stage2.0.scale_1x1.weight";
  refuses(with([&](auto& scales) { scales.erase(name); }),
          "the first layer that does not fit is 'stage2.0'; 1 missing: 'stage2.0.scale_1x1.weight'");
  refuses(with([&](auto& scales) { scales[name].pop_back(); }),
          "'stage2.0.scale_1x1.weight' has 63 elements, "
          "expected are 64");
  refuses(with([&](auto& scales) { scales[name][3] = std::numeric_limits<float>::quiet_NaN(); }),
          "1 not finite: 'stage2.0.scale_1x1.weight' holds nan at index 3");
  refuses(with([&](auto& scales) { scales[name].assign(scales[name].size(), 0); }),
          "1 zero in every channel, so that its branch would never train: 'stage2.0.scale_1x1.weight'");
  refuses(with([&](auto& scales) {
            for (std::size_t c = 0; c < scales[name].size(); ++c) scales[name][c] = c % 2 == 0 ? 1.0f : -1.0f;
          }),
          "averaged over the channels: 1 zero in every channel", true);
}
