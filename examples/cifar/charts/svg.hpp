// Colours, numbers and text for all SVG pictures of the program.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace repopt_cifar {

/// Colours that colour-blind people can tell apart (by Okabe and Ito), in the order of their use.
inline constexpr std::array<const char*, 6> colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"};

/// Returns `value` with `digits` digits after the point.
std::string fixed(double value, int digits);

/// Escapes text for SVG and HTML, in elements and in attributes.
std::string escaped(std::string_view text);

/// Returns a whole SVG file with `content` on a background that follows the reader's light or dark theme. The drawing
/// is `width` x `height` units large and is scaled to the window, up to a width of `max_width` pixels.
std::string svg_file(double width, double height, double max_width, std::string_view content);

}  // namespace repopt_cifar
