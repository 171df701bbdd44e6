// Pieces of an HTML page that is well-formed XML too.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "study/plan.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

using Cells = std::vector<std::string>;  ///< of a row of a table, as HTML

/// A table that scrolls by itself where the page is too narrow. The first cell of each row names it.
std::string table(const Cells& head, const std::vector<Cells>& rows);

/// A part of the page under a heading.
std::string section(std::string_view id, std::string_view title, std::string_view body);

std::string paragraph(std::string_view html);

/// A picture of this size in its own units, as wide as the page allows; `name` says what it shows.
std::string picture(double width, double height, std::string_view name, std::string_view svg);

/// Pictures side by side where there is room.
std::string side_by_side(std::string_view pictures);

/// What the colours mean.
std::string legend(const std::vector<const Variant*>& variants);

/// "75.31 ± 0.42" for shares in percent; for a single seed "75.31".
std::string percent(const Group& group);

/// A share in percent.
std::string percent(double share);

/// Variants that AdamW trains are dashed.
bool is_dashed(const Variant& variant);

}  // namespace repopt_cifar::study
