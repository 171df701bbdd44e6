// `repopt-cifar plot`: the curves of several runs in one picture.
#include "commands.hpp"
#include "formats/output_file.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "training/metrics.hpp"

namespace repopt_cifar {

Json plot(const PlotOptions& options) {
  require_svg(options.out);
  require_output(options.out, {});
  std::vector<Curve> curves;
  for (const std::filesystem::path& run : options.runs)
    curves.push_back({std::filesystem::absolute(run).lexically_normal().filename().string(), read_metrics(run)});
  repopt::formats::write_file(options.out, curves_svg(curves));
  Json result{{"out", options.out.string()}, {"runs", Json::array()}};
  for (const Curve& curve : curves)
    result["runs"].push_back(
        {{"name", curve.name},
         {"epochs", curve.metrics.size()},
         {"test_accuracy", curve.metrics.empty() ? Json() : Json(curve.metrics.back().test_accuracy)}});
  return result;
}

}  // namespace repopt_cifar
