// `repopt-cifar plot`: the curves of several runs in one picture.
#include "commands.hpp"
#include "formats/output_file.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "training/metrics.hpp"
#include "training/run_folder.hpp"

namespace repopt_cifar {

namespace {

/// Returns the name of a run's folder, also for "runs/rep/" and ".".
std::string name_of(const std::filesystem::path& run) {
  const std::filesystem::path path = std::filesystem::absolute(run).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

Json plot(const PlotOptions& options) {
  require_svg(options.out);
  require_output(options.out, {});
  require_outside_runs(options.out);
  std::vector<Curve> curves;
  for (const std::filesystem::path& run : options.runs) curves.push_back({name_of(run), read_metrics(run)});
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
