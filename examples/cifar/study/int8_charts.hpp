// The pictures of networks in integers on study.html: accuracy against bits, and the layers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "study/int8.hpp"
#include "study/layers.hpp"
#include "study/shown.hpp"

namespace repopt_cifar::study {

/// Returns the picture of accuracy against bits for one scheme. Networks with the prior have a second line, with the
/// split of centre diagonals, if it was measured. Returns "" if nothing was measured at other bits than 8.
std::string bits_picture(const std::vector<Shown>& shown, const std::vector<Int8Result>& results,
                         std::string_view scheme);

/// Returns the picture of accuracy at 5 bits, per tensor, over accuracy in float: a dot for each variant, the mean of
/// its seeds. A dashed line leads to the same networks with their centre diagonals split off. Returns "" if 5 bits were
/// not measured.
std::string five_bits_picture(const std::vector<Shown>& shown, const std::vector<Int8Result>& results);

/// Returns the pictures of the layers, or "" if there are none.
std::string layer_pictures(const std::vector<Shown>& shown, const std::vector<LayerResult>& layers);

}  // namespace repopt_cifar::study
