#include "charts/svg.hpp"

#include <cstdio>

#include "repopt/base/error.hpp"

namespace repopt_cifar {

std::string fixed(double value, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return text.data();
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '>') {
      result += "&gt;";
    } else if (c == '&') {
      result += "&amp;";
    } else if (c == '\'') {
      result += "&#39;";
    } else if (c == '"') {
      result += "&quot;";
    } else {
      result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;  // XML has no control characters
    }
  }
  return result;
}

std::string svg_file(double width, double height, double max_width, std::string_view content) {
  return repopt::concat("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 ", width, " ", height,
                        "' style='display:block;margin:auto;max-width:", max_width,
                        "px' font-family='sans-serif' font-size='13'>\n"
                        "<style>svg{fill:#1f2328;color:#1f2328} .page{fill:#fff} @media(prefers-color-scheme:dark)"
                        "{svg{fill:#f0f6fc;color:#f0f6fc} .page{fill:#0d1117} .grid{stroke:#3d444d}}</style>\n"
                        "<rect class='page' width='100%' height='100%'/>\n",
                        content, "</svg>\n");
}

}  // namespace repopt_cifar
