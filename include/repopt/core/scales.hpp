// Scales: the constants of all CSLA blocks of a network, by name.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace repopt {

/// Orders names as their layers follow each other. It compares the numbers in the names as numbers: "stage1.2" comes
/// before "stage1.10".
struct LayerOrder {
  /// Whether `a` comes before `b`.
  constexpr bool operator()(std::string_view a, std::string_view b) const {
    const auto at = std::size_t(std::ranges::mismatch(a, b).in1 - a.begin());
    const std::size_t digits_a = digits(a.substr(at)), digits_b = digits(b.substr(at));
    const bool within_number = at > 0 && digits(a.substr(at - 1)) > 0;
    if (digits_a != digits_b && (within_number || (digits_a > 0 && digits_b > 0))) return digits_a < digits_b;
    return a.substr(at) < b.substr(at);
  }

 private:
  /// The number of digits that `text` begins with.
  static constexpr std::size_t digits(std::string_view text) {
    return std::min(text.find_first_not_of("0123456789"), text.size());
  }
};

/// Scales by parameter name, with the names of the published files: "stage1.1.scale_conv.weight",
/// "stage1.1.scale_1x1.weight", "stage1.1.scale_identity.weight". The last is the identity's initial weight; the
/// identity's constant scale is 1.
template <class T>
using Scales = std::map<std::string, std::vector<T>, LayerOrder>;

/// The value at which Hyper-Search starts the scales of block l of a stage, counted from 0: sqrt(2 / l), and 1 for the
/// first block (arXiv 2205.15242, section 4).
inline double initial_scale(std::size_t index_in_stage) {
  return index_in_stage == 0 ? 1.0 : std::sqrt(2.0 / double(index_in_stage));
}

/// The number of elements of each scale, by name.
using ScaleLengths = std::map<std::string, std::size_t, LayerOrder>;

/// The two parts of a scale's name: "stage1.1" and "scale_conv" in "stage1.1.scale_conv.weight". Numbers at the end of
/// a name belong to its kind, as in "blocks.0.0.ghost1" and "cheap_operation.1".
struct ScaleName {
  std::string_view layer;  ///< "stage1.1"
  std::string_view kind;   ///< "scale_conv"

  /// `name` must outlive the parts.
  explicit constexpr ScaleName(std::string_view name) {
    if (name.ends_with(".weight")) name.remove_suffix(std::string_view(".weight").size());
    const std::size_t dot = name.rfind('.', name.find_last_not_of(".0123456789"));
    layer = name.substr(0, dot);
    if (dot != name.npos) kind = name.substr(dot + 1);
  }
};

}  // namespace repopt
