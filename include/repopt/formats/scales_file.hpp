// Files of scales like those published for RepOpt-VGG. Scales are matched by name, never by order.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/formats/file.hpp"
#include "repopt/formats/safetensors.hpp"

namespace repopt::formats {

/// Returns all tensors of the file; F64 is rounded if T is float. Throws std::runtime_error if a tensor does not have
/// one dimension or is not floating point. The message names the file.
template <std::floating_point T>
Scales<T> read_scales(const Safetensors& file) {
  Scales<T> scales;
  for (const std::string& name : file.names()) {
    const auto& shape = file.info(name).shape;
    require_file(shape.size() == 1, file.name(), ": scale '", name, "' has shape ", describe(shape),
                 ", it must have one dimension");
    scales[name] = file.tensor_as<T>(name);
  }
  return scales;
}

/// Returns read_scales() of the file at `path`. Throws in the same cases, and if the file is not a valid safetensors
/// file.
template <std::floating_point T>
Scales<T> load_scales(const std::filesystem::path& path) {
  return read_scales<T>(Safetensors::load(path));
}

/// Writes each scale as a tensor of one dimension, with AtomicFile. Throws std::runtime_error if the file cannot be
/// written.
template <std::floating_point T>
void save_scales(const std::filesystem::path& path, const Scales<T>& scales,
                 const std::map<std::string, std::string>& metadata = {}) {
  SafetensorsWriter writer;
  for (const auto& [key, value] : metadata) writer.add_metadata(key, value);
  for (const auto& [name, scale] : scales) writer.add(name, {scale.size()}, scale);
  writer.save(path);
}

namespace detail {

/// "'a', 'b', 'c' and 4 more".
inline std::string first_few(const std::vector<std::string>& items) {
  constexpr std::size_t few = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(few, items.size()); ++i) text += concat(i > 0 ? ", " : "", items[i]);
  return items.size() > few ? concat(text, " and ", items.size() - few, " more") : text;
}

/// The faults of scales, one list for each kind of fault, in the order of the layers.
class ScaleFaults {
 public:
  template <std::floating_point T>
  ScaleFaults(const Scales<T>& scales, const ScaleLengths& expected) {
    for (const auto& [name, length] : expected)
      if (!scales.contains(name)) {
        missing_.push_back(concat("'", name, "'"));
        add_misfit(name);
      }
    for (const auto& [name, scale] : scales) {
      const auto found = expected.find(name);
      if (found == expected.end()) {
        extra_.push_back(concat("'", name, "'"));
        add_misfit(name);
      } else if (scale.size() != found->second) {
        wrong_length_.push_back(concat("'", name, "' has ", scale.size(), " elements, expected are ", found->second));
        add_misfit(name);
      } else if (const auto bad = std::ranges::find_if_not(scale, [](T s) { return std::isfinite(s * s); });
                 bad != scale.end()) {
        not_finite_.push_back(concat("'", name, "' holds ", *bad, " at index ", bad - scale.begin(),
                                     std::isfinite(*bad) ? ", whose square is not" : ""));
      } else if (std::ranges::all_of(scale, [](T s) { return s * s == 0; })) {
        zero_.push_back(concat("'", name, "'"));
      }
    }
    nothing_fits_ = missing_.size() == expected.size() && !expected.empty();
  }

  /// The faults in words; empty if there are none.
  std::string describe() const {
    if (nothing_fits_)
      return concat("none of the expected names is there: expected are ", first_few(missing_), "; it holds ",
                    extra_.empty() ? "nothing" : first_few(extra_));
    std::string text;
    if (!first_misfit_.empty())
      text = concat("the first layer that does not fit is '", ScaleName(first_misfit_).layer, "'");
    const auto add = [&](std::string_view kind, const std::vector<std::string>& items) {
      if (!items.empty()) text += concat(text.empty() ? "" : "; ", items.size(), " ", kind, ": ", first_few(items));
    };
    add("missing", missing_);
    add("extra", extra_);
    add("of the wrong length", wrong_length_);
    add("not finite", not_finite_);
    add("zero in every channel, so that its branch would never train", zero_);
    return text;
  }

 private:
  void add_misfit(const std::string& name) {
    if (first_misfit_.empty() || LayerOrder()(name, first_misfit_)) first_misfit_ = name;
  }

  std::vector<std::string> missing_, extra_, wrong_length_, not_finite_, zero_;
  std::string first_misfit_;
  bool nothing_fits_ = false;
};

}  // namespace detail

/// Returns `scales` if they match `expected` (see nn::scale_lengths()): exactly these names, each scale of its length,
/// all numbers and their squares finite in T, and in each scale a number whose square is not 0 in T. Throws
/// std::runtime_error otherwise. The message begins with `source`, the file's name. It names the first layer that does
/// not fit and lists the scales that are missing, extra, of the wrong length, not finite or zero. If no name fits at
/// all, it says which names the file holds instead.
template <std::floating_point T>
Scales<T> bind_scales(Scales<T> scales, const ScaleLengths& expected, const std::string& source = "scales") {
  const std::string faults = detail::ScaleFaults(scales, expected).describe();
  require_file(faults.empty(), source, ": ", faults);
  return scales;
}

/// Loads the scales of a file and calls bind_scales() on them. Throws in the same cases as both functions.
template <std::floating_point T>
Scales<T> load_scales(const std::filesystem::path& path, const ScaleLengths& expected) {
  return bind_scales(load_scales<T>(path), expected, path.string());
}

}  // namespace repopt::formats
