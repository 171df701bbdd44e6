#include "study/html.hpp"

#include "charts/svg.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar::study {

using repopt::concat;

std::string table(const Cells& head, const std::vector<Cells>& rows) {
  std::string html = "<div class='scroll'><table><thead><tr>";
  for (const std::string& cell : head) html += concat("<th scope='col'>", cell, "</th>");
  html += "</tr></thead><tbody>\n";
  for (const Cells& row : rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      html += i == 0 ? concat("<th scope='row'>", row[i], "</th>") : concat("<td>", row[i], "</td>");
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string section(std::string_view id, std::string_view title, std::string_view body) {
  return concat("<section id='", escaped(id), "'>\n<h3>", escaped(title), "</h3>\n", body, "</section>\n");
}

std::string paragraph(std::string_view html) { return concat("<p>", html, "</p>\n"); }

std::string legend_item(std::string_view name, std::string_view colour, bool dashed) {
  return concat("<li><svg viewBox='0 0 24 8'><line x1='0' x2='24' y1='4' y2='4' stroke-width='3' stroke='", colour,
                dashed ? "' stroke-dasharray='6 4" : "", "'/></svg>", name, "</li>");
}

std::string legend(const std::vector<const Variant*>& variants) {
  std::string html = "<ul class='legend'>";
  for (const Variant* const variant : variants)
    html += legend_item(variant->name, variant->colour, is_dashed(*variant));
  return html + "</ul>\n";
}

std::string percent(double share) { return fixed(100 * share, 2); }

std::string percent(const Group& group) {
  const Spread accuracy = group.spread(&RunResult::test_accuracy);
  return group.runs().size() == 1 ? percent(accuracy.mean)
                                  : concat(percent(accuracy.mean), " ± ", percent(accuracy.deviation));
}

bool is_dashed(const Variant& variant) { return variant.optimizer == "adamw"; }

}  // namespace repopt_cifar::study
