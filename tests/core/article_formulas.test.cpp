// Checks `embed` against the formulas of the article (arXiv 2205.15242), which are written here piecewise, as in the
// article. Kernels are OIHW. c is the output channel, d the input channel, (p, q) the tap.
#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

#include "repopt/core/conv_shape.hpp"
#include "repopt/core/csla_block.hpp"
#include "repopt/core/grad_mult.hpp"
#include "support/block_kinds.hpp"
#include "support/random.hpp"
#include "support/relative_error.hpp"

using namespace repopt;
using namespace repopt::testing;

namespace {

constexpr std::size_t C = 5;  // input and output channels
const ConvShape article_3x3 = square(C, C, 3), article_1x1 = square(C, C, 1);

/// A 3x3 kernel, element by element: formula(c, d, p, q).
std::vector<double> kernel3x3(auto formula) {
  std::vector<double> kernel;
  for (std::size_t c = 0; c < C; ++c)
    for (std::size_t d = 0; d < C; ++d)
      for (std::size_t p = 0; p < 3; ++p)
        for (std::size_t q = 0; q < 3; ++q) kernel.push_back(formula(c, d, p, q));
  return kernel;
}

bool centre(std::size_t p, std::size_t q) { return p == 1 && q == 1; }

std::vector<double> initial_kernel(const CslaBlock<double>& block, const std::vector<std::vector<double>>& kernels) {
  std::vector<double> weight(block.target().size());
  block.equivalent_kernel(spans(kernels), weight);
  return weight;
}

constexpr double rounding = 1e-15;

}  // namespace

TEST_CASE("Two equal convolutions with scalar constants have GradMult a^2 + b^2 and W'(0) = a W_A + b W_B") {
  Random random(50);
  const double a = 0.7, b = -0.4;
  const CslaBlock<double> block(article_3x3, {{article_3x3, a}, {article_3x3, b}});
  const auto kernels = random_kernels(random, block);
  const auto &w_a = kernels[0], &w_b = kernels[1];

  const auto grad_mult = kernel3x3([&](auto, auto, auto, auto) { return a * a + b * b; });
  std::vector<double> weight(article_3x3.size());
  for (std::size_t k = 0; k < weight.size(); ++k) weight[k] = a * w_a[k] + b * w_b[k];

  CHECK(relative_error(GradMult<double>(block).dense(), grad_mult) < rounding);
  CHECK(relative_error(initial_kernel(block, kernels), weight) < rounding);
}

TEST_CASE("3x3 and 1x1 with scalar constants have GradMult a^2 + b^2 at the centre tap and a^2 elsewhere") {
  Random random(51);
  const double a = 0.7, b = -0.4;
  const CslaBlock<double> block(article_3x3, {{article_3x3, a}, {article_1x1, b}});
  const auto kernels = random_kernels(random, block);
  const auto &w_a = kernels[0], &w_b = kernels[1];

  const auto grad_mult = kernel3x3([&](auto, auto, auto p, auto q) { return centre(p, q) ? a * a + b * b : a * a; });
  const auto weight = kernel3x3([&](auto c, auto d, auto p, auto q) {
    const double w = a * w_a[((c * C + d) * 3 + p) * 3 + q];
    return centre(p, q) ? w + b * w_b[c * C + d] : w;
  });

  CHECK(relative_error(GradMult<double>(block).dense(), grad_mult) < rounding);
  CHECK(relative_error(initial_kernel(block, kernels), weight) < rounding);
}

TEST_CASE("The RepVGG block has GradMult 1 + s_c^2 + t_c^2, s_c^2 + t_c^2 and s_c^2") {
  Random random(52);
  const auto s = random.numbers<double>(C), t = random.numbers<double>(C);
  const CslaBlock<double> block(article_3x3, {{article_3x3, s}, {article_1x1, t}, Branch<double>::identity(C)});
  const auto w_s = random.numbers<double>(article_3x3.size()), w_t = random.numbers<double>(article_1x1.size());
  const std::vector<double> ones(C, 1.0);

  const auto grad_mult = kernel3x3([&](auto c, auto d, auto p, auto q) {
    if (centre(p, q) && c == d) return 1 + s[c] * s[c] + t[c] * t[c];
    if (centre(p, q)) return s[c] * s[c] + t[c] * t[c];
    return s[c] * s[c];
  });
  const auto weight = kernel3x3([&](auto c, auto d, auto p, auto q) {
    const double w = s[c] * w_s[((c * C + d) * 3 + p) * 3 + q];
    if (centre(p, q) && c == d) return 1 + w + t[c] * w_t[c * C + d];
    if (centre(p, q)) return w + t[c] * w_t[c * C + d];
    return w;
  });

  CHECK(relative_error(GradMult<double>(block).dense(), grad_mult) < rounding);
  CHECK(relative_error(initial_kernel(block, {w_s, w_t, ones}), weight) < rounding);
}
