// What the program's pictures have in common.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace repopt_cifar {

/// Colours that remain apart for colour-blind eyes (Okabe and Ito's), in the order of their use.
inline constexpr std::array<const char*, 6> colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};

/// The number with so many digits behind the point.
std::string fixed(double value, int digits);

/// The text as SVG's and HTML's may hold it, in elements and in attributes.
std::string escaped(std::string_view text);

/// A whole SVG file: `content` on white, drawn in `width` x `height` units and scaled to the window, but to no more
/// than `max_width` pixels.
std::string svg_file(double width, double height, double max_width, std::string_view content);

}  // namespace repopt_cifar
