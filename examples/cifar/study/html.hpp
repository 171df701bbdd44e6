// Parts of an HTML page that is also well-formed XML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "study/plan.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

using Cells = std::vector<std::string>;  ///< the cells of a row of a table, as HTML

/// A table, with a scroll bar of its own if the page is too narrow. The first cell of each row is its heading.
std::string table(const Cells& head, const std::vector<Cells>& rows);

/// A section of the page: `body` under the heading `title`.
std::string section(std::string_view id, std::string_view title, std::string_view body);

std::string paragraph(std::string_view html);

/// A legend of the variants' colours.
std::string legend(const std::vector<const Variant*>& variants);

/// An item of a legend: a short line and its name.
std::string legend_item(std::string_view name, std::string_view colour, bool dashed);

/// The test accuracy of a group in percent: "75.31 ± 0.42", or "75.31" for a single seed.
std::string percent(const Group& group);

/// A share in percent, "75.31".
std::string percent(double share);

/// Whether the lines of a variant are dashed: those of AdamW's variants are.
bool is_dashed(const Variant& variant);

}  // namespace repopt_cifar::study
