// `repopt-cifar scales`: what a file of scales holds, and which models it fits.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "charts/scale_summary.hpp"
#include "charts/scales_svg.hpp"
#include "commands.hpp"
#include "formats/output_file.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "training/run_folder.hpp"

namespace repopt_cifar {

using repopt::concat;

namespace {

void print_table(const std::vector<ScaleSummary>& scales) {
  int width = 5;
  for (const ScaleSummary& scale : scales) width = std::max(width, int(scale.name.size()));
  std::fprintf(stderr, "%-*s  length      mean       min       max  negative\n", width, "scale");
  for (const ScaleSummary& scale : scales) {
    std::fprintf(stderr, "%-*s  %6zu  %8.4f  %8.4f  %8.4f  %8zu", width, scale.name.c_str(), scale.length, scale.mean,
                 scale.min, scale.max, scale.negative);
    if (scale.not_finite > 0) std::fprintf(stderr, "  %zu not finite", scale.not_finite);
    std::fprintf(stderr, "\n");
  }
}

/// Returns why training refuses a file that fits a model: the message, or nothing if training takes it.
std::string training_fault(const std::filesystem::path& file, const repopt::Scales<double>& scales) {
  repopt::ScaleLengths lengths;
  for (const auto& [name, values] : scales) lengths[name] = values.size();
  try {
    repopt::formats::load_scales<float>(file, lengths);
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace

Json show_scales(const ScalesOptions& options) {
  require_svg(options.out);
  require_output(options.out, {options.file});
  require_outside_runs(options.out);
  const auto scales = repopt::formats::load_scales<double>(options.file);
  repopt::formats::require_file(!scales.empty(), options.file.string(), " holds no scales");
  const std::vector<std::string> fitting = repopt::nn::fitting_presets(scales);
  const std::vector<ScaleSummary> summaries = summarize(scales);

  Json json{{"command", "scales"}, {"file", options.file.string()}, {"out", options.out.string()}, {"fits", fitting}};
  std::size_t count = 0, negative = 0, not_finite = 0;
  Json list = Json::array();
  for (const ScaleSummary& s : summaries) {
    count += s.length;
    negative += s.negative;
    not_finite += s.not_finite;
    list.push_back({{"name", s.name},
                    {"length", s.length},
                    {"mean", s.mean},
                    {"min", s.min},
                    {"max", s.max},
                    {"negative", s.negative},
                    {"not_finite", s.not_finite}});
  }
  json.update({{"count", count}, {"negative", negative}, {"not_finite", not_finite}, {"scales", list}});

  const std::string fault = fitting.empty() ? "" : training_fault(options.file, scales);
  json["fault"] = fault.empty() ? Json() : Json(fault);

  std::string names;
  for (const std::string& name : fitting) names += (names.empty() ? "" : ", ") + name;
  std::vector<std::string> notes{
      concat(count, " values in ", summaries.size(), " scales, ", negative, " negative",
             not_finite > 0 ? concat(", ", not_finite, " not finite") : ""),
      names.empty() ? "fits none of this program's models" : concat("fits the model ", names)};
  if (!fault.empty()) notes.push_back("but train refuses it: " + fault);
  print_table(summaries);
  for (const std::string& note : notes) std::fprintf(stderr, "%s\n", note.c_str());
  repopt::formats::write_file(options.out, scales_svg(options.file.filename().string(), notes, summaries));
  return json;
}

}  // namespace repopt_cifar
